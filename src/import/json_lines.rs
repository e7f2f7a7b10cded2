//! Rows from JSON Lines: an object per line. Numbers keep their digits as written, so that no id
//! passes through a float.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::encoding::Text;
use super::lines::{Line, Lines};
use super::{Broken, Column, Dialect, Places, Reader, Refusal, Row, csv};

/// Separator of a list's values in one cell.
const PARTED_BY: &str = "|";

/// Maximum number of keys of an object.
const MAX_KEYS: usize = 1_000;

/// JSON Lines.
pub struct JsonLines {
    lines: Lines,
    transcoded: bool,
    dialect: Dialect,
    required: Vec<Column>,
    text: Vec<u8>,
    /// Columns mapped explicitly, or seen in an earlier row: writers omit keys without a value.
    seen: Vec<Column>,
}

/// An object's keys and values, in order, each value as written.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    if pairs.len() == MAX_KEYS {
                        let message = format!("an object of more than {MAX_KEYS} keys");
                        return Err(serde::de::Error::custom(message));
                    }
                    pairs.push((key.0, map.next_value()?));
                }
                Ok(Object(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// A key, borrowed where it has no escape.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl JsonLines {
    /// Reads rows with the columns of each line's object.
    pub fn new(text: Text, dialect: &Dialect, required: &[Column]) -> Self {
        Self {
            lines: Lines::new(text.input),
            transcoded: text.transcoded,
            dialect: dialect.clone(),
            required: required.to_vec(),
            text: Vec::new(),
            seen: dialect.columns.by_hand().to_vec(),
        }
    }

    fn fill(&mut self, row: &mut Row) -> Result<(), Refusal> {
        // Bad bytes cost the fields they are in.
        let text = String::from_utf8_lossy(&self.text);
        let text = text.trim_start_matches('\u{feff}');
        let lossy = self.transcoded || std::str::from_utf8(&self.text).is_err();
        let plain_numbers = with_plain_numbers(text);
        let object: Object<'_> = serde_json::from_str(&plain_numbers)
            .map_err(|e| Refusal::new("the line is no JSON object", e.to_string()))?;
        let names: Vec<&str> = object.0.iter().map(|(name, _)| name.as_ref()).collect();
        only_once(&object)?;

        let places: Places = self
            .dialect
            .columns
            .of_row(&names, &self.required)
            .map_err(|_| Refusal::new("a required column is missing", names.join(", ")))?;

        row.fill(&places, |place, column| {
            let name = column.map_or("an attribute", Column::name);
            let several = column.is_some_and(Column::holds_several);
            let text = match plain(object.0[place].1, several, name) {
                Ok(text) => text,
                Err(refusal) => return Some(Err(refusal)),
            };
            let unreadable = lossy && text.contains('\u{fffd}');
            Some(if unreadable { Err(csv::not_utf_8(name, text.into_owned())) } else { Ok(text) })
        });

        self.seen.iter().for_each(|&column| row.mark_in_file(column));
        for (column, places) in Column::ALL.into_iter().zip(&places.columns) {
            if !places.is_empty() && !self.seen.contains(&column) {
                self.seen.push(column);
            }
            let is_text = |place: &usize| object.0[*place].1.get().starts_with('"');
            if !places.is_empty() && !places.iter().any(is_text) {
                row.mark_number(column);
            }
        }
        fill_attributes(&object, row)
    }
}

/// Refuses an object with a duplicate key.
fn only_once(object: &Object<'_>) -> Result<(), Refusal> {
    let mut seen = HashSet::with_capacity(object.0.len());
    match object.0.iter().find(|(name, _)| !seen.insert(name.as_ref())) {
        Some((twice, _)) => Err(Refusal::new("a key occurs twice", twice.as_ref())),
        None => Ok(()),
    }
}

/// Quotes the numbers that some writers emit and JSON does not allow.
fn with_plain_numbers(text: &str) -> Cow<'_, str> {
    const NO_NUMBERS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];

    if NO_NUMBERS.iter().all(|word| !text.contains(word)) {
        return Cow::Borrowed(text);
    }

    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    let mut quoted = false;
    while let Some(character) = rest.chars().next() {
        let word = NO_NUMBERS.into_iter().find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = word {
            plain.push_str("\"NaN\"");
            rest = &rest[word.len()..];
            continue;
        }

        let escaped = quoted && character == '\\';
        quoted ^= character == '"';
        let taken = character.len_utf8() + usize::from(escaped && rest.len() > 1);
        let taken = (taken..=rest.len()).find(|&end| rest.is_char_boundary(end));
        let (part, left) = rest.split_at(taken.unwrap_or(rest.len()));
        plain.push_str(part);
        rest = left;
    }
    Cow::Owned(plain)
}

/// Adds the pairs of an object named `attributes`.
fn fill_attributes(object: &Object<'_>, row: &mut Row) -> Result<(), Refusal> {
    let given = object.0.iter().find(|(name, value)| name == "attributes" && value.get() != "null");
    let Some((_, attributes)) = given else { return Ok(()) };
    match serde_json::from_str::<Object<'_>>(attributes.get()) {
        Ok(pairs) => {
            only_once(&pairs)?;
            for (name, value) in &pairs.0 {
                match plain(value, false, "an attribute") {
                    Ok(text) => row.join_attribute(name, &text),
                    Err(fault) => row.mark_unreadable(fault),
                }
            }
        }
        Err(error) => {
            let fault = Refusal::new("attributes is no JSON object", error.to_string());
            row.mark_unreadable(fault);
        }
    }
    Ok(())
}

/// A value as the text that a CSV file would hold.
fn plain<'a>(value: &'a RawValue, several: bool, name: &str) -> Result<Cow<'a, str>, Refusal> {
    let text = value.get();
    let unreadable = || Refusal::new(format!("{name} is neither text nor number"), text);
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Key<'_>>(text).map(|t| t.0).map_err(|_| unreadable()),
        Some(b'n') => Ok(Cow::Borrowed("")),
        Some(b'[') if several => {
            let parts: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| unreadable())?;
            let parts: Result<Vec<_>, _> =
                parts.into_iter().map(|part| plain(part, false, name)).collect();
            Ok(Cow::Owned(parts?.join(PARTED_BY)))
        }
        Some(b'[' | b'{') | None => Err(unreadable()),
        Some(_) => Ok(Cow::Borrowed(text)),
    }
}

impl Reader for JsonLines {
    fn next(&mut self, row: &mut Row) -> Result<Option<Result<(), Refusal>>, Broken> {
        loop {
            row.clear();
            self.text.clear();
            let line = self.lines.read(&mut self.text)?;
            row.line = self.lines.line;

            match line {
                Line::End => return Ok(None),
                Line::TooLong => {
                    return Ok(Some(Err(Refusal::new("the line is longer than 1 MiB", ""))));
                }
                Line::Whole if self.text.trim_ascii().is_empty() => {}
                Line::Whole => return Ok(Some(self.fill(row))),
            }
        }
    }
}

#[cfg(test)]
mod tests;
