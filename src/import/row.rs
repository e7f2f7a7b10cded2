//! A row: text by canonical column, and the values that could not be read.

use std::borrow::Cow;

use super::{Column, Places, Refusal};

/// A row's values by canonical column; empty where there is none. Reused from
/// row to row.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Line of the file, from 1, or row of a Parquet file.
    pub line: u64,
    values: [String; Column::ALL.len()],
    /// Attributes by name.
    attributes: Vec<(String, String)>,
    /// One bit per column: whether the row has it, even if empty.
    present: u32,
    /// One bit per column: whether the file has it, even if this row is too short for it.
    in_file: u32,
    /// One bit per column: whether the file stores it as a number, not as text.
    numbers: u32,
    faults: Vec<Fault>,
    times: Vec<TypedTime>,
}

/// A time in the file's own type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypedTime {
    column: Column,
    /// Milliseconds since 1970.
    pub ms: i64,
    /// Whether they count local time without a zone.
    pub local: bool,
}

/// A value that could not be read as text.
#[derive(Debug, Clone)]
struct Fault {
    /// The column; none: an attribute.
    column: Option<Column>,
    refusal: Refusal,
}

impl Row {
    /// The value of a column, trimmed; none where it is empty.
    pub fn get(&self, column: Column) -> Option<&str> {
        Some(self.values[column as usize].trim()).filter(|v| !v.is_empty())
    }

    /// Fills the row from the positions of its file, which `value` reads: for a canonical column,
    /// or for an attribute.
    pub fn fill<'a>(
        &mut self,
        places: &Places,
        value: impl Fn(usize, Option<Column>) -> Option<Result<Cow<'a, str>, Refusal>>,
    ) {
        for (column, places) in Column::ALL.into_iter().zip(&places.columns) {
            for &place in places {
                self.in_file |= bit(column);
                let value = value(place, Some(column));
                self.present |= if value.is_some() { bit(column) } else { 0 };

                match value {
                    Some(Ok(text)) => {
                        join(&mut self.values[column as usize], &text, column.joined_by())
                    }
                    Some(Err(refusal)) => self.faults.push(Fault { column: Some(column), refusal }),
                    None => {}
                }
            }
        }

        for (name, places) in &places.attributes {
            for &place in places {
                match value(place, None) {
                    Some(Ok(text)) => self.join_attribute(name, &text),
                    Some(Err(refusal)) => self.mark_unreadable(refusal),
                    None => {}
                }
            }
        }
    }

    /// Whether the file stores a column as a number, not as text.
    pub fn is_number(&self, column: Column) -> bool {
        self.numbers & bit(column) != 0
    }

    /// Marks a column as stored as a number.
    pub fn mark_number(&mut self, column: Column) {
        self.numbers |= bit(column);
    }

    /// Whether the row has the column, even if empty.
    pub fn has(&self, column: Column) -> bool {
        self.present & bit(column) != 0
    }

    /// The attributes that the row has, trimmed; some may be empty.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(name, value)| (name.as_str(), value.trim()))
    }

    /// Why the value of a column could not be read, where that is so.
    pub fn fault(&self, column: Column) -> Option<&Refusal> {
        let mut faults = self.faults.iter();
        faults.find(|fault| fault.column == Some(column)).map(|fault| &fault.refusal)
    }

    /// Why attributes could not be read.
    pub fn attribute_faults(&self) -> impl Iterator<Item = &Refusal> {
        let of_attributes = self.faults.iter().filter(|fault| fault.column.is_none());
        of_attributes.map(|fault| &fault.refusal)
    }

    /// The time in a column that the file stores as a time: its text needs no parsing.
    pub fn time(&self, column: Column) -> Option<TypedTime> {
        self.times.iter().copied().find(|time| time.column == column)
    }

    /// Marks a column as a time, in milliseconds since 1970, besides its text; `local`: local time
    /// without a zone.
    pub fn mark_time(&mut self, column: Column, ms: i64, local: bool) {
        self.times.push(TypedTime { column, ms, local });
    }

    /// Whether the file has the column, even if this row does not.
    pub fn is_in_file(&self, column: Column) -> bool {
        (self.in_file | self.present) & bit(column) != 0
    }

    /// Marks a column as one of the file's, even if this row does not have it.
    pub fn mark_in_file(&mut self, column: Column) {
        self.in_file |= bit(column);
    }

    /// Sets the value of a column.
    pub fn set(&mut self, column: Column, value: &str) {
        let slot = &mut self.values[column as usize];
        slot.clear();
        slot.push_str(value);
        self.present |= bit(column);
    }

    /// Adds a part to an attribute.
    pub fn join_attribute(&mut self, name: &str, part: &str) {
        match self.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => join(value, part, '/'),
            None => self.attributes.push((name.to_owned(), part.to_owned())),
        }
    }

    /// Marks the value of an attribute as unreadable text.
    pub fn mark_unreadable(&mut self, refusal: Refusal) {
        self.faults.push(Fault { column: None, refusal });
    }

    /// Empties every column.
    pub fn clear(&mut self) {
        self.values.iter_mut().for_each(String::clear);
        self.attributes.clear();
        self.faults.clear();
        self.times.clear();
        self.present = 0;
        self.in_file = 0;
        self.numbers = 0;
    }

    /// The row as it was read, for the rejects file.
    pub fn text(&self) -> String {
        let filled = Column::ALL.iter().filter(|c| !self.values[**c as usize].is_empty());
        let columns = filled.map(|c| format!("{}={:?}", c.name(), self.values[*c as usize]));
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(name, value)| format!("attributes.{name}={value:?}"));
        columns.chain(attributes).collect::<Vec<_>>().join(" ")
    }
}

fn bit(column: Column) -> u32 {
    1 << (column as u32)
}

fn join(slot: &mut String, part: &str, between: char) {
    if !slot.is_empty() && !part.is_empty() {
        slot.push(between);
    }
    slot.push_str(part);
}
