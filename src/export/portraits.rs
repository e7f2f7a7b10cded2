//! Portraits of users, a row each, as Parquet or CSV.

use std::fs::File;

use super::columns::{Column, Format, Table};
use super::error::ExportError;

/// A user's portrait in plain columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PortraitRow {
    /// The user, the segment, the strongest category and brand, the most used channel, and the levels of
    /// tiers as "program:level"; empty where there is none.
    pub texts: [String; 6],
    /// The first and last event, the first and last order, and the expected next one, in milliseconds since
    /// 1970.
    pub times: [Option<i64>; 5],
    /// Numbers, in the order of [`NUMBERS`].
    pub numbers: [Option<f64>; 15],
}

/// Names of the texts.
const TEXTS: [&str; 6] = ["user_id", "segment", "category", "brand", "channel", "tiers"];
/// Names of the times.
const TIMES: [&str; 5] =
    ["first_event", "last_event", "first_order", "last_order", "expected_next_order"];
/// Names of the numbers.
pub const NUMBERS: [&str; 15] = [
    "orders",
    "spend",
    "refunded",
    "mean_spend",
    "mean_units",
    "price_low",
    "price_median",
    "price_high",
    "recency_score",
    "frequency_score",
    "monetary_score",
    "alive",
    "churn_risk_90_days",
    "purchases_90_days",
    "spend_90_days",
];
const COLUMNS: usize = TEXTS.len() + TIMES.len() + NUMBERS.len();

/// A file of portraits that is being written.
pub struct PortraitFile(Table<COLUMNS>);

impl PortraitFile {
    /// Creates the file, in a format.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn create(file: File, format: Format) -> Result<Self, ExportError> {
        let mut columns: [(&str, Column); COLUMNS] =
            std::array::from_fn(|_| ("", Column::number()));
        let texts = TEXTS.map(|name| (name, Column::text()));
        let times = TIMES.map(|name| (name, Column::perhaps()));
        let numbers = NUMBERS.map(|name| (name, Column::number()));
        let all = texts.into_iter().chain(times).chain(numbers);
        columns.iter_mut().zip(all).for_each(|(column, named)| *column = named);
        Ok(Self(Table::create(file, format, columns, &[])?))
    }

    /// Adds a user.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn push(&mut self, row: &PortraitRow) -> Result<(), ExportError> {
        let (texts, rest) = self.0.columns().split_at_mut(TEXTS.len());
        let (times, numbers) = rest.split_at_mut(TIMES.len());
        texts.iter_mut().zip(&row.texts).for_each(|(column, text)| column.push_text(text));
        times.iter_mut().zip(row.times).for_each(|(column, time)| column.push_perhaps(time));
        let numbers = numbers.iter_mut().zip(row.numbers);
        numbers.for_each(|(column, number)| column.push_number(number));
        self.0.end_row()
    }

    /// Writes the rest; returns the number of users.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(self) -> Result<u64, ExportError> {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_empty() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let mut file = PortraitFile::create(path.reopen().unwrap(), Format::Csv).unwrap();
        let mut row = PortraitRow::default();
        row.texts[0] = "u1".into();
        file.push(&row).unwrap();
        (row.times[0], row.numbers[0]) = (Some(86_400_000), Some(3.0));
        file.push(&row).unwrap();
        assert_eq!(file.finish().unwrap(), 2);
        let written = std::fs::read_to_string(path.path()).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        assert!(lines[0].starts_with("user_id,segment,category"), "{written}");
        assert_eq!(lines[1], format!("u1{}", ",".repeat(COLUMNS - 1)));
        assert!(lines[2].contains("1970-01-02T00:00:00Z,,,,,3,"), "{written}");
    }
}
