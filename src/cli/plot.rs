//! Draws a comparison of methods as bars, in SVG.

use std::fmt::Write as _;

use crate::evaluate::{Metrics, Row};

/// Width of the longest bar, and height of a bar, in pixels.
const BAR: (f64, f64) = (420.0, 16.0);
/// The drawn metrics of [`Metrics::NAMES`].
const DRAWN: [usize; 2] = [1, 3];

/// A panel for recall and one for NDCG at every k, with a bar for each method and its 95 %
/// interval.
pub fn bars(rows: &[Row]) -> String {
    let ks = rows.first().map_or(0, |row| row.at.len());
    let panel_height = 44.0 + rows.len() as f64 * (BAR.1 + 6.0);
    let height = panel_height * (ks * DRAWN.len()) as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );

    let mut top = 10.0;
    for at in 0..ks {
        for metric in DRAWN {
            panel(&mut svg, rows, at, metric, top);
            top += panel_height;
        }
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, rows: &[Row], at: usize, metric: usize, top: f64) {
    let k = rows.first().map_or(0, |row| row.at[at].k);
    let largest = rows.iter().map(|row| row.at[at].intervals[metric].1).fold(1e-9, f64::max);
    let x = |value: f64| 170.0 + value / largest * BAR.0;

    // Writing into a String does not fail.
    let _ = writeln!(
        svg,
        "<text x=\"10\" y=\"{}\" font-weight=\"bold\">{}@{k}</text>",
        top + 16.0,
        Metrics::NAMES[metric]
    );

    for (i, row) in rows.iter().enumerate() {
        let y = top + 26.0 + i as f64 * (BAR.1 + 6.0);
        let (mean, (low, high)) = (row.at[at].means[metric], row.at[at].intervals[metric]);
        let colour =
            if row.method == crate::evaluate::Method::Blend { "#b3261e" } else { "#5b7fa6" };
        let middle = y + BAR.1 / 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"160\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"170\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{colour}\"/>\
             <line x1=\"{}\" x2=\"{}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"black\"/>\
             <text x=\"{}\" y=\"{}\">{mean:.4}</text>",
            middle + 4.0,
            row.method.name(),
            x(mean) - 170.0,
            BAR.1,
            x(low),
            x(high),
            x(high) + 6.0,
            middle + 4.0,
        );
    }
}
