//! The dialect of a file: its columns, encoding, times, numbers and words.

use super::ColumnMap;
use super::encoding::Encoding;
use super::event_names::EventNames;
use super::time_format::TimeFormat;

/// How a file is read. By default: canonical column names, UTF-8, times as in [`TimeFormat`],
/// decimal points.
#[derive(Debug, Clone, Default)]
pub struct Dialect {
    /// The mapping of columns.
    pub columns: ColumnMap,
    /// None: UTF-8, or as the byte order mark says.
    pub encoding: Option<Encoding>,
    /// The format of times.
    pub times: TimeFormat,
    /// Names of kinds of events, besides the canonical ones.
    pub events: EventNames,
    /// Whether the decimal separator is a comma: `1.234,50`.
    pub decimal_comma: bool,
    /// Words that stand for an empty cell, in every column.
    pub absent: Vec<String>,
}

impl Dialect {
    /// A dialect with a mapping of columns, and defaults otherwise.
    pub fn of_columns(columns: ColumnMap) -> Self {
        Self { columns, ..Self::default() }
    }

    /// Parses a number; none for a text that is no finite number.
    pub fn number(&self, text: &str) -> Option<f64> {
        let number = if self.decimal_comma {
            with_decimal_point(text)?.parse::<f64>()
        } else {
            text.parse::<f64>()
        };
        number.ok().filter(|number| number.is_finite())
    }
}

/// Converts a number with a decimal comma, and digits perhaps grouped by three, to one with a
/// point.
fn with_decimal_point(text: &str) -> Option<String> {
    let (whole, decimals) = text.split_once(',').unwrap_or((text, ""));
    let sign = if whole.starts_with('-') { "-" } else { "" };

    let mut groups = whole.trim_start_matches(['-', '+']).split(['.', ' ', '\u{a0}', '\'']);
    let first = groups.next()?;
    let mut digits = first.to_owned();
    for group in groups {
        if group.len() != 3 || first.is_empty() || first.len() > 3 {
            return None;
        }
        digits.push_str(group);
    }

    let all = digits.bytes().chain(decimals.bytes());
    let plain = !digits.is_empty() && all.into_iter().all(|byte| byte.is_ascii_digit());
    plain.then(|| format!("{sign}{digits}.{decimals}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_points_and_with_commas() {
        let read =
            |text, decimal_comma| Dialect { decimal_comma, ..Dialect::default() }.number(text);
        for (text, point, comma) in [
            ("2.50", Some(2.5), None),
            ("2,50", None, Some(2.5)),
            ("-7", Some(-7.0), Some(-7.0)),
            ("1.234,50", None, Some(1_234.5)),
            ("1.234", Some(1.234), Some(1_234.0)),
            ("1,234.50", None, None),
            ("12 345,5", None, Some(12_345.5)),
            ("1e3", Some(1_000.0), None),
            ("$9.99", None, None),
            ("NaN", None, None),
            ("inf", None, None),
            ("", None, None),
            (",5", None, None),
            ("5,", None, Some(5.0)),
        ] {
            assert_eq!((read(text, false), read(text, true)), (point, comma), "{text}");
        }
    }
}
