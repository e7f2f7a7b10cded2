//! The fields of a row: a required field is read or refuses the row; an optional one is read or
//! dropped.

use super::time_format::Unread;
use super::timestamp;
use super::{Column, Dialect, Refusal, Row};
use crate::domain::quote::quoted;
use crate::domain::{Violation, limits};

/// Whether a text is a word that databases and spreadsheets write for an empty field.
fn stands_for_nothing(text: &str) -> bool {
    matches!(
        text,
        "\\N"
            | "NULL"
            | "null"
            | "Null"
            | "(null)"
            | "NaN"
            | "nan"
            | "NAN"
            | "None"
            | "none"
            | "nil"
            | "(not set)"
            | "N/A"
            | "n/a"
            | "#N/A"
            | "<NA>"
            | "NA"
            | "undefined"
    )
}

/// Whether an id is such a word, or zero: one "user" that stands for many.
pub fn is_no_id(id: &str) -> bool {
    stands_for_nothing(id) || matches!(id, "0" | "0.0" | "-1")
}

/// A row's fields.
pub struct Fields<'a> {
    row: &'a Row,
    dialect: &'a Dialect,
    dropped: Vec<Refusal>,
}

impl<'a> Fields<'a> {
    /// The fields of a row, in its file's dialect.
    pub fn new(row: &'a Row, dialect: &'a Dialect) -> Self {
        Self { row, dialect, dropped: Vec::new() }
    }

    /// The dropped fields.
    pub fn into_dropped(self) -> Vec<Refusal> {
        self.dropped
    }

    /// A required text.
    ///
    /// # Errors
    /// Where it is empty, or not text.
    pub fn required(&self, column: Column) -> Result<&'a str, Refusal> {
        if let Some(fault) = self.row.fault(column) {
            return Err(fault.clone());
        }
        let value = self.present(column);
        value.ok_or_else(|| Refusal::new(format!("{} is empty", column.name()), ""))
    }

    /// A required time in milliseconds since 1970.
    ///
    /// # Errors
    /// Where it is not a time.
    pub fn required_time(&self, column: Column) -> Result<i64, Refusal> {
        self.time_of(column, self.required(column)?)
    }

    /// Whether a column is empty.
    pub fn is_empty(&self, column: Column) -> bool {
        self.present(column).is_none() && self.row.fault(column).is_none()
    }

    /// An optional text.
    pub fn text(&mut self, column: Column) -> Option<&'a str> {
        if let Some(fault) = self.row.fault(column) {
            self.dropped.push(fault.clone());
            return None;
        }
        let text = self.present(column)?;
        if stands_for_nothing(text) {
            let reason = format!("{} is a word for an empty field", column.name());
            self.drop(Refusal::new(reason, quoted(text)));
            return None;
        }
        Some(text)
    }

    /// An optional text, truncated to `max` bytes.
    pub fn text_within(&mut self, column: Column, max: usize) -> Option<&'a str> {
        let text = self.text(column)?;
        let ends = (0..=max.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
        let cut = &text[..ends.unwrap_or(0)];
        if cut.len() < text.len() {
            let reason = format!("{} beyond {max} bytes", column.name());
            self.drop(Refusal::new(reason, quoted(text)));
        }
        Some(cut)
    }

    /// An optional id; empty where it is missing.
    pub fn id(&mut self, column: Column) -> String {
        let id = self.text(column).unwrap_or_default();
        match limits::optional_id(column.name(), id) {
            Ok(()) => id.to_owned(),
            Err(violation) => {
                self.drop(breaks_a_limit(violation));
                String::new()
            }
        }
    }

    /// Optional words separated by "|", at most `max`.
    pub fn words(&mut self, column: Column, max: usize) -> Vec<String> {
        let Some(text) = self.text(column) else { return Vec::new() };
        let (words, dropped) = words(column, text, max);
        self.dropped.extend(dropped);
        words
    }

    /// An optional number from `min` to `max`.
    pub fn number(&mut self, column: Column, min: f64, max: f64) -> Option<f64> {
        let text = self.text(column)?;
        let Some(number) = self.number_of(column, text) else {
            let refusal = Refusal::new(format!("{} is no number", column.name()), quoted(text));
            let help = "is the comma the decimal point: --decimal-comma";
            self.drop(if text.contains(',') { refusal.with_help(help) } else { refusal });
            return None;
        };

        match limits::number(column.name(), number, min, max) {
            Ok(()) => Some(number),
            Err(violation) => {
                self.drop(breaks_a_limit(violation));
                None
            }
        }
    }

    /// An optional start or end of a validity, in milliseconds since 1970.
    pub fn moment(&mut self, column: Column) -> Option<i64> {
        let text = self.text(column)?;
        let within = |ms: i64| {
            let range = 0.0..=limits::MAX_VALID_MS as f64;
            limits::number(column.name(), ms as f64, *range.start(), *range.end())
                .map(|()| ms)
                .map_err(breaks_a_limit)
        };
        let read = self.time_of(column, text).and_then(within);
        read.map_err(|refusal| self.drop(refusal)).ok()
    }

    /// An optional flag.
    pub fn flag(&mut self, column: Column) -> Option<bool> {
        let text = self.text(column)?;
        let flag = flag(text);
        if flag.is_none() {
            let reason = format!("{} is neither true nor false", column.name());
            self.drop(Refusal::new(reason, quoted(text)));
        }
        flag
    }

    /// Whether an item is available: true or false, a term of product feeds, or the number in
    /// stock; none for an empty cell.
    ///
    /// # Errors
    /// Where it cannot be read: an item that may be sold out must not be offered.
    pub fn available(&self) -> Result<Option<bool>, Refusal> {
        if let Some(fault) = self.row.fault(Column::Available) {
            return Err(fault.clone());
        }

        let Some(text) = self.present(Column::Available) else { return Ok(None) };
        if stands_for_nothing(text) {
            return Ok(None);
        }

        let stock = || self.number_of(Column::Available, text).map(|stock| stock > 0.0);
        let available = availability(text).or_else(stock);
        available.map(Some).ok_or_else(|| {
            let help = "use true, false, in_stock, out_of_stock, or the number in stock";
            let reason = "available is neither true nor false";
            Refusal::new(reason, quoted(text)).with_help(help)
        })
    }

    /// Attributes with their values, each of which must pass `check`; an empty value removes the
    /// attribute.
    pub fn attributes(
        &mut self,
        check: impl Fn(&str, &str) -> Result<(), Violation>,
    ) -> Vec<(String, Option<String>)> {
        self.dropped.extend(self.row.attribute_faults().cloned());
        let mut attributes = Vec::new();
        for (name, value) in self.row.attributes() {
            if attributes.len() == limits::MAX_TAGS {
                let reason = format!("an attribute beyond {}", limits::MAX_TAGS);
                self.dropped.push(Refusal::new(reason, quoted(name)));
                continue;
            }

            let empty = value.is_empty() || stands_for_nothing(value) || self.is_absent(value);
            match check(name, value) {
                _ if empty => attributes.push((name.to_owned(), None)),
                Ok(()) => attributes.push((name.to_owned(), Some(value.to_owned()))),
                Err(violation) => {
                    // Names come from the file, in any number, so reasons do not contain them.
                    let field = "an attribute".to_owned();
                    let detail = violation.to_string();
                    let refusal = breaks_a_limit(Violation { field, ..violation });
                    self.dropped.push(Refusal { detail, ..refusal });
                }
            }
        }
        attributes
    }

    /// Counts a dropped field of the row.
    pub fn drop(&mut self, refusal: Refusal) {
        self.dropped.push(refusal);
    }

    fn present(&self, column: Column) -> Option<&'a str> {
        let text = self.row.get(column)?;
        // A 0 is a stock, or an objection, even where it stands for an empty cell elsewhere.
        let stands = match column {
            Column::Available => availability(text).is_some(),
            Column::Consent => flag(text).is_some(),
            _ => false,
        };
        Some(text).filter(|text| stands || !self.is_absent(text))
    }

    fn number_of(&self, column: Column, text: &str) -> Option<f64> {
        // A number in the file's own type has no comma.
        if self.row.is_number(column) {
            return text.parse().ok().filter(|number: &f64| number.is_finite());
        }
        self.dialect.number(text)
    }

    fn is_absent(&self, text: &str) -> bool {
        self.dialect.absent.iter().any(|absent| absent == text)
    }

    fn time_of(&self, column: Column, text: &str) -> Result<i64, Refusal> {
        if let Some(time) = self.row.time(column) {
            let local = time.local.then(|| self.dialect.times.local(time.ms));
            return Ok(local.flatten().unwrap_or(time.ms));
        }

        timestamp::parse(text, &self.dialect.times).map_err(|unread| {
            let (reason, help) = match unread {
                Unread::NoTime => ("cannot be read", "name the format: --time-format"),
                Unread::Implausible => (
                    "is a number that is no time from 1990 to 2100",
                    "name the unit: --time-format unix, unix-ms, excel, …",
                ),
                Unread::DayOrMonth => (
                    "may name the day or the month first",
                    "name the order: --time-format day-first or month-first",
                ),
                Unread::Contradicted => (
                    "names the day first in some rows and the month in others",
                    "split the file, and name the order of each: --time-format day-first or \
                     month-first",
                ),
            };
            Refusal::new(format!("{} {reason}", column.name()), quoted(text)).with_help(help)
        })
    }
}

/// Availability by the terms of shops and feeds, including schema.org.
fn availability(text: &str) -> Option<bool> {
    if let Ok(stock) = text.parse::<f64>() {
        return Some(stock > 0.0);
    }

    let word = text.rsplit('/').next().unwrap_or(text).to_lowercase();
    let word: String = word.chars().filter(|c| c.is_alphanumeric()).collect();
    match word.as_str() {
        "instock"
        | "onbackorder"
        | "wahr"
        | "vrai"
        | "verdadero"
        | "instoreonly"
        | "onlineonly"
        | "limitedavailability"
        | "available"
        | "active"
        | "enabled"
        | "on"
        | "preorder"
        | "presale"
        | "backorder"
        | "有货"
        | "现货"
        | "在售"
        | "上架" => Some(true),
        "outofstock" | "falsch" | "faux" | "falso" | "draft" | "archived" | "soldout"
        | "unavailable" | "notavailable" | "discontinued" | "inactive" | "disabled" | "off"
        | "无货" | "缺货" | "售罄" | "已售罄" | "下架" | "已下架" | "停售" => {
            Some(false)
        }
        word => flag(word),
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "yes" | "t" | "y" | "是" => Some(true),
        "false" | "0" | "no" | "f" | "n" | "否" => Some(false),
        _ => None,
    }
}

/// The words of a field separated by "|", at most `max`; and those that are dropped.
pub fn words(column: Column, text: &str, max: usize) -> (Vec<String>, Vec<Refusal>) {
    let mut words = Vec::new();
    let mut dropped = Vec::new();
    for word in text.split('|').map(str::trim).filter(|word| !word.is_empty()) {
        match limits::new_id(column.name(), word) {
            Err(violation) => dropped.push(breaks_a_limit(violation)),
            Ok(()) if words.len() == max => {
                let reason = format!("{} has more than {max} values", column.name());
                dropped.push(Refusal::new(reason, quoted(word)));
            }
            Ok(()) => words.push(word.to_owned()),
        }
    }
    (words, dropped)
}

/// A value that breaks a limit; the reason names the limit, without the value.
pub fn breaks_a_limit(violation: Violation) -> Refusal {
    let rule = violation.message.split(", ").next().unwrap_or_default();
    Refusal::new(format!("{} breaks a limit: it {rule}", violation.field), violation.message)
}
