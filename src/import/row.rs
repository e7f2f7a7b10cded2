//! A row as it was read: text by canonical column, and what of it could not be read.

use super::{Column, Refusal};

/// A row's values by canonical column; empty where there is none. Reused from
/// row to row.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Line of the file, from 1, or row of a Parquet file.
    pub line: u64,
    values: [String; Column::ALL.len()],
    /// Attributes by name.
    attributes: Vec<(String, String)>,
    /// One bit a column: whether the row has it, be it empty.
    present: u32,
    faults: Vec<Fault>,
    /// Times that the file has as such, in milliseconds since 1970.
    times: Vec<(Column, i64)>,
}

/// A value that could not be read as text.
#[derive(Debug, Clone)]
struct Fault {
    /// None: an attribute.
    column: Option<Column>,
    refusal: Refusal,
}

impl Row {
    /// The value of a column, trimmed; none where it is empty.
    pub fn get(&self, column: Column) -> Option<&str> {
        Some(self.values[column as usize].trim()).filter(|v| !v.is_empty())
    }

    /// Whether the row has the column, be it empty.
    pub fn has(&self, column: Column) -> bool {
        self.present >> (column as u32) & 1 == 1
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

    /// The time of a column that the file has as such, in milliseconds since 1970: it needs no
    /// reading.
    pub fn time(&self, column: Column) -> Option<i64> {
        self.times.iter().find(|(of, _)| *of == column).map(|(_, ms)| *ms)
    }

    /// Says that a column holds a time, in milliseconds since 1970, beside what it shows.
    pub fn mark_time(&mut self, column: Column, ms: i64) {
        self.times.push((column, ms));
    }

    /// Sets the value of a column.
    pub fn set(&mut self, column: Column, value: &str) {
        let slot = &mut self.values[column as usize];
        slot.clear();
        slot.push_str(value);
        self.present |= 1 << (column as u32);
    }

    /// Adds a part to a column that is joined from several.
    pub fn join(&mut self, column: Column, part: &str) {
        self.present |= 1 << (column as u32);
        join(&mut self.values[column as usize], part);
    }

    /// The same with an attribute.
    pub fn join_attribute(&mut self, name: &str, part: &str) {
        match self.attributes.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => join(value, part),
            None => self.attributes.push((name.to_owned(), part.to_owned())),
        }
    }

    /// The value of a column (none: of an attribute) cannot be read as text.
    pub fn mark_unreadable(&mut self, column: Option<Column>, refusal: Refusal) {
        self.faults.push(Fault { column, refusal });
    }

    /// Empties every column.
    pub fn clear(&mut self) {
        self.values.iter_mut().for_each(String::clear);
        self.attributes.clear();
        self.faults.clear();
        self.times.clear();
        self.present = 0;
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

fn join(slot: &mut String, part: &str) {
    if !slot.is_empty() && !part.is_empty() {
        slot.push('/');
    }
    slot.push_str(part);
}
