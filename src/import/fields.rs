//! The fields of a row: what is required is read or refuses the row; what is not is read or
//! dropped, and the row stays.

use super::time_format::Unread;
use super::timestamp;
use super::{Column, Dialect, Refusal, Row};
use crate::domain::quote::quoted;
use crate::domain::{Violation, limits};

/// Whether a text is what databases and spreadsheets write where a field is empty.
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

/// The same of an id, zero among them: one "user" who stands for many.
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
    /// The fields of a row as its file writes them.
    pub fn new(row: &'a Row, dialect: &'a Dialect) -> Self {
        Self { row, dialect, dropped: Vec::new() }
    }

    /// What was dropped.
    pub fn into_dropped(self) -> Vec<Refusal> {
        self.dropped
    }

    /// What must be there.
    ///
    /// # Errors
    /// Where it is empty, or no text.
    pub fn required(&self, column: Column) -> Result<&'a str, Refusal> {
        if let Some(fault) = self.row.fault(column) {
            return Err(fault.clone());
        }
        let value = self.present(column);
        value.ok_or_else(|| Refusal::new(format!("{} is empty", column.name()), ""))
    }

    /// The same as a time in milliseconds since 1970.
    ///
    /// # Errors
    /// Where it is none.
    pub fn required_time(&self, column: Column) -> Result<i64, Refusal> {
        self.time_of(column, self.required(column)?)
    }

    /// Whether there is nothing in a column.
    pub fn is_empty(&self, column: Column) -> bool {
        self.present(column).is_none() && self.row.fault(column).is_none()
    }

    /// A text that may be missing.
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

    /// A text that is cut where it is longer than `most` bytes.
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

    /// An id that may be missing; empty then.
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

    /// Words parted by "|", at most `most`.
    pub fn words(&mut self, column: Column, max: usize) -> Vec<String> {
        let Some(text) = self.text(column) else { return Vec::new() };
        let (words, dropped) = words(column, text, max);
        self.dropped.extend(dropped);
        words
    }

    /// A number from `least` to `most` that may be missing.
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

    /// A moment of a validity in milliseconds since 1970, which may be missing.
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

    /// True or false; none where it is neither.
    pub fn flag(&mut self, column: Column) -> Option<bool> {
        let text = self.text(column)?;
        let flag = flag(text);
        if flag.is_none() {
            let reason = format!("{} is neither true nor false", column.name());
            self.drop(Refusal::new(reason, quoted(text)));
        }
        flag
    }

    /// Whether an item can be bought: true or false, in the words of feeds, or how many are in
    /// stock; none where nothing is said.
    ///
    /// # Errors
    /// Where it cannot be read: what may be sold out must not be offered as if it were not.
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
            let help = "say true, false, in_stock, out_of_stock, or how many there are";
            let reason = "available is neither true nor false";
            Refusal::new(reason, quoted(text)).with_help(help)
        })
    }

    /// Attributes with their values, each of which `check` must let pass; an empty value says that
    /// there is none.
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
                    // Names come from the file, and there may be any number of them.
                    let field = "an attribute".to_owned();
                    let detail = violation.to_string();
                    let refusal = breaks_a_limit(Violation { field, ..violation });
                    self.dropped.push(Refusal { detail, ..refusal });
                }
            }
        }
        attributes
    }

    /// Counts something of the row that is left out.
    pub fn drop(&mut self, refusal: Refusal) {
        self.dropped.push(refusal);
    }

    fn present(&self, column: Column) -> Option<&'a str> {
        let text = self.row.get(column)?;
        // A 0 is a word on the stock, or an objection, whatever it stands for elsewhere.
        let stands = match column {
            Column::Available => availability(text).is_some(),
            Column::Consent => flag(text).is_some(),
            _ => false,
        };
        Some(text).filter(|text| stands || !self.is_absent(text))
    }

    fn number_of(&self, column: Column, text: &str) -> Option<f64> {
        // What the file has as a number has no comma.
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
                Unread::NoTime => ("cannot be read", "how times are written: --time-format"),
                Unread::Implausible => (
                    "is a number that is no time from 1990 to 2100",
                    "what it counts: --time-format unix, unix-ms, excel, …",
                ),
                Unread::DayOrMonth => (
                    "may name the day or the month first",
                    "which it is: --time-format day-first or month-first",
                ),
                Unread::Contradicted => (
                    "names the day first in some rows and the month in others",
                    "part the file, and say for each: --time-format day-first or month-first",
                ),
            };
            Refusal::new(format!("{} {reason}", column.name()), quoted(text)).with_help(help)
        })
    }
}

/// Whether an item can be bought, by the words of shops and feeds, those of schema.org among them.
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

/// The words of a field, parted by "|", at most `most`; and what is dropped of them.
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

/// A value that breaks one of the limits; the reason names the rule, without what was given.
pub fn breaks_a_limit(violation: Violation) -> Refusal {
    let rule = violation.message.split(", ").next().unwrap_or_default();
    Refusal::new(format!("{} breaks a limit: it {rule}", violation.field), violation.message)
}
