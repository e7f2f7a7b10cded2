//! Draws cohorts as a table of coloured cells, in SVG.

use std::fmt::Write as _;

use crate::api::wire::pb;

/// Width and height of a cell, in pixels.
const CELL: (usize, usize) = (44, 24);
/// Room for the names of cohorts and their sizes, and above the cells.
const MARGIN: (usize, usize) = (150, 56);
/// Maximum number of columns.
const COLUMNS: usize = 24;

/// A row for each cohort, a column for each period after its first; the darker, the more came again.
pub(super) fn draw(cohorts: &[pb::Cohort]) -> String {
    let columns = cohorts.iter().map(|cohort| cohort.came.len()).max().unwrap_or(1);
    let columns = columns.min(COLUMNS + 1).saturating_sub(1).max(1);
    let width = (MARGIN.0 + columns * CELL.0 + 20).max(420);
    let height = MARGIN.1 + cohorts.len() * CELL.1 + 20;
    let again = |cohort: &pb::Cohort, at: usize| {
        let share = f64::from(*cohort.came.get(at)?) / f64::from(cohort.users.max(1));
        Some(share)
    };
    let shares = cohorts.iter().flat_map(|cohort| (1..=columns).filter_map(|at| again(cohort, at)));
    let largest = shares.fold(1e-9, f64::max);

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\" font-weight=\"bold\">share of a cohort that came again, in %, by \
         periods since the first</text>\n\
         <text x=\"10\" y=\"44\" fill=\"#555555\">cohort</text>\
         <text x=\"{}\" y=\"44\" text-anchor=\"end\" fill=\"#555555\">users</text>\n",
        MARGIN.0 - 10
    );
    // Writing into a String does not fail.
    for at in 1..=columns {
        let x = MARGIN.0 + (at - 1) * CELL.0 + CELL.0 / 2;
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"44\" text-anchor=\"middle\" fill=\"#555555\">{at}</text>"
        );
    }
    for (row, cohort) in cohorts.iter().enumerate() {
        let top = MARGIN.1 + row * CELL.1;
        let base = top + CELL.1 / 2 + 4;
        let _ = writeln!(
            svg,
            "<text x=\"10\" y=\"{base}\">{}</text>\
             <text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>",
            cohort.start_date,
            MARGIN.0 - 10,
            cohort.users
        );
        for at in 1..=columns {
            let Some(share) = again(cohort, at) else { break };
            cell(&mut svg, (MARGIN.0 + (at - 1) * CELL.0, top), share, share / largest);
        }
    }
    svg + "</svg>\n"
}

fn cell(svg: &mut String, (x, y): (usize, usize), share: f64, strength: f64) {
    // From white to the blue of Okabe and Ito (2008); its text turns white where the ground is dark.
    let mixed = |to: f64| (255.0 + (to - 255.0) * strength).round() as u8;
    let (red, green, blue) = (mixed(0.0), mixed(114.0), mixed(178.0));
    let ink = if strength > 0.6 { "white" } else { "black" };
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"rgb({red},{green},{blue})\" \
         stroke=\"white\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{ink}\">{:.0}</text>",
        CELL.0,
        CELL.1,
        x + CELL.0 / 2,
        y + CELL.1 / 2 + 4,
        100.0 * share
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_period_has_a_cell() {
        let cohort = |start_date: &str, came: &[u32]| pb::Cohort {
            start_date: start_date.into(),
            users: came[0],
            came: came.to_vec(),
        };
        let svg = draw(&[cohort("2026-09-01", &[10, 5, 0]), cohort("2026-10-01", &[4, 1])]);
        assert_eq!(svg.matches("<rect x=").count(), 3);
        assert!(svg.contains(">50<") && svg.contains(">0<") && svg.contains(">25<"), "{svg}");
        assert!(draw(&[]).ends_with("</svg>\n"));
    }
}
