//! Draws curves over time, in SVG.

use std::fmt::Write as _;

/// Size of the drawn area, and its distance from the left and the top, in pixels.
const AREA: (f64, f64) = (600.0, 240.0);
const MARGIN: (f64, f64) = (70.0, 40.0);
/// Colours of the curves: the palette of Okabe and Ito (2008), for readers with colour blindness too.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#f0e442"];
/// Room below the area for a line of the legend.
const LINE: f64 = 20.0;

/// A curve: its name, and points of a time in seconds since 1970 and a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// Its points in the order of their times.
    pub points: Vec<(i64, f64)>,
}

/// Draws curves with a common axis, from 0 to the largest value.
pub fn draw(title: &str, curves: &[Curve]) -> String {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let first = points().map(|point| point.0).min().unwrap_or(0);
    let last = points().map(|point| point.0).max().unwrap_or(0).max(first + 1);
    let largest = points().map(|point| point.1).fold(1e-9, f64::max);
    let x = |time: i64| MARGIN.0 + (time - first) as f64 / (last - first) as f64 * AREA.0;
    let y = |value: f64| MARGIN.1 + AREA.1 - value.max(0.0) / largest * AREA.1;

    let height = MARGIN.1 + AREA.1 + 40.0 + LINE * curves.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{}\" y=\"20\" font-weight=\"bold\">{}</text>\n",
        MARGIN.0 + AREA.0 + 20.0,
        MARGIN.0,
        escaped(title)
    );

    // Writing into a String does not fail.
    for step in 0..=4 {
        let value = largest * f64::from(step) / 4.0;
        let _ = writeln!(
            svg,
            "<line x1=\"{}\" x2=\"{}\" y1=\"{2}\" y2=\"{2}\" stroke=\"#dddddd\"/>\
             <text x=\"{3}\" y=\"{4}\" text-anchor=\"end\">{value:.4}</text>",
            MARGIN.0,
            MARGIN.0 + AREA.0,
            y(value),
            MARGIN.0 - 6.0,
            y(value) + 4.0
        );
    }
    for (time, anchor) in [(first, "start"), (last, "end")] {
        let day = jiff::Timestamp::from_second(time).unwrap_or_default().strftime("%Y-%m-%d");
        let (x, y) = (x(time), MARGIN.1 + AREA.1 + 18.0);
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{day}</text>");
    }

    for (at, curve) in curves.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let places: Vec<String> =
            curve.points.iter().map(|(t, v)| format!("{:.1},{:.1}", x(*t), y(*v))).collect();
        let legend = MARGIN.1 + AREA.1 + 40.0 + LINE * at as f64;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            places.join(" "),
            MARGIN.0,
            legend - 10.0,
            MARGIN.0 + 18.0,
            legend,
            escaped(&curve.name)
        );
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_is_drawn_and_names_are_escaped() {
        let curve = |name: &str| Curve { name: name.into(), points: vec![(0, 0.1), (86_400, 0.2)] };
        let svg = draw("a < b", &[curve("one"), curve("R&D")]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("R&amp;D") && svg.contains("a &lt; b") && svg.contains("1970-01-02"));
        assert!(draw("nothing", &[]).ends_with("</svg>\n"));
    }
}
