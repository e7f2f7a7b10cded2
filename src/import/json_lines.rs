//! Rows from JSON Lines: an object a line. Numbers are the digits as they stand, so that no id
//! goes through a float.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::encoding::Text;
use super::lines::{Line, Lines};
use super::{Broken, Column, Dialect, Places, Reader, Refusal, Row, csv};

/// What parts the values of a list in one cell.
const PARTED_BY: &str = "|";

/// JSON Lines.
pub struct JsonLines {
    lines: Lines,
    transcoded: bool,
    dialect: Dialect,
    required: Vec<Column>,
    text: Vec<u8>,
}

/// An object's keys and values, in its order, each value as it stands.
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
                    pairs.push((key.0, map.next_value()?));
                }
                Ok(Object(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// A key, borrowed where it holds no escape.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl JsonLines {
    /// Reads rows with the columns that each line's object has.
    ///
    /// # Errors
    /// A sentence, where the file cannot be read.
    pub fn open(text: Text, dialect: &Dialect, required: &[Column]) -> Result<Self, String> {
        Ok(Self {
            lines: Lines::new(text.input).map_err(|e| e.what)?,
            transcoded: text.transcoded,
            dialect: dialect.clone(),
            required: required.to_vec(),
            text: Vec::new(),
        })
    }

    fn fill(&self, row: &mut Row) -> Result<(), Refusal> {
        // Bad bytes cost the fields they are in.
        let text = String::from_utf8_lossy(&self.text);
        let lossy = self.transcoded || matches!(text, Cow::Owned(_));
        let object: Object<'_> = serde_json::from_str(&text)
            .map_err(|e| Refusal::new("the line is no JSON object", e.to_string()))?;
        let names: Vec<&str> = object.0.iter().map(|(name, _)| name.as_ref()).collect();
        let twice = (1..names.len()).find(|&at| names[..at].contains(&names[at]));
        if let Some(at) = twice {
            return Err(Refusal::new("a key stands twice", names[at]));
        }
        let places: Places = self
            .dialect
            .columns
            .resolve(&names, &self.required)
            .map_err(|_| Refusal::new("a required column is missing", names.join(", ")))?;

        let value = |place: usize, several: bool, name: &str| {
            let text = plain(object.0[place].1, several, name)?;
            match lossy && text.contains('\u{fffd}') {
                true => Err(csv::not_utf_8(name, text.into_owned())),
                false => Ok(text),
            }
        };
        for (column, places) in Column::ALL.into_iter().zip(&places.columns) {
            for &place in places {
                match value(place, column.holds_several(), column.name()) {
                    Ok(text) => row.join(column, &text),
                    Err(fault) => row.mark_unreadable(Some(column), fault),
                }
            }
        }
        for (name, places) in &places.attributes {
            for &place in places {
                match value(place, false, name) {
                    Ok(text) => row.join_attribute(name, &text),
                    Err(fault) => row.mark_unreadable(None, fault),
                }
            }
        }
        fill_attributes(&object, row);
        Ok(())
    }
}

/// Takes in the pairs of an object that is named `attributes`.
fn fill_attributes(object: &Object<'_>, row: &mut Row) {
    let Some((_, attributes)) = object.0.iter().find(|(name, _)| name == "attributes") else {
        return;
    };
    if attributes.get() == "null" {
        return;
    }
    match serde_json::from_str::<Object<'_>>(attributes.get()) {
        Ok(pairs) => {
            for (name, value) in &pairs.0 {
                match plain(value, false, name) {
                    Ok(text) => row.join_attribute(name, &text),
                    Err(fault) => row.mark_unreadable(None, fault),
                }
            }
        }
        Err(error) => {
            let fault = Refusal::new("attributes is no JSON object", error.to_string());
            row.mark_unreadable(None, fault);
        }
    }
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
