//! The shape of a request in JSON, checked before anything of it is kept: the names of its fields, each
//! once, and the number of their entries. An entry takes two or three bytes in JSON and hundreds in memory, so
//! limits must hold before memory is taken, as those of the wire do.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::api::wire::entries::{self, Field, MESSAGES, Place, check_count};
use crate::domain::quote::{clipped, quoted};
use crate::domain::{Violation, limits};

/// Messages that JSON writes in a form of their own.
const WELL_KNOWN: &str = "google.protobuf.";
/// The one of them that has entries: paths, separated by commas.
const MASK: &str = "google.protobuf.FieldMask";

/// Checks the fields of a request with this name. Values that do not fit their fields, and text that
/// is no JSON, pass for the parser to refuse.
///
/// # Errors
/// The path of a field that is unknown, or has too many entries.
pub(super) fn check(name: &str, json: &[u8]) -> Result<(), Violation> {
    let Some(request) = entries::place(name) else { return Ok(()) };
    let mut search = Search { conditions: 0, refused: None };
    let walk = Walk { search: &mut search, of: Of::Message(request), here: None };
    // An error that is not noted in `search` is the parser's to report.
    let _ = walk.deserialize(&mut serde_json::Deserializer::from_slice(json));
    search.refused.map_or(Ok(()), Err)
}

/// What was found so far.
struct Search {
    conditions: usize,
    refused: Option<Violation>,
}

impl Search {
    /// Ends the search.
    fn refuse<E: Error>(&mut self, violation: Violation) -> E {
        self.refused = Some(violation);
        E::custom("refused")
    }
}

/// What a value stands for.
#[derive(Clone, Copy)]
enum Of {
    /// A message, by its index in [`MESSAGES`].
    Message(usize),
    /// All entries of a repeated field or a map, within a message.
    Entries(usize, &'static Field),
    /// Nothing that has entries.
    Plain,
}

impl Of {
    /// A value of a message type, or of another one.
    fn single(message: Option<usize>) -> Self {
        message.map_or(Of::Plain, Of::Message)
    }
}

/// A walk over a value; `here` is its place, none for the whole request.
struct Walk<'a> {
    search: &'a mut Search,
    of: Of,
    here: Option<&'a Place<'a>>,
}

impl Walk<'_> {
    /// Walks over a value within this one.
    fn within<'b>(&'b mut self, of: Of, here: &'b Place<'b>) -> Walk<'b> {
        Walk { search: self.search, of, here: Some(here) }
    }

    fn path(&self) -> String {
        self.here.map_or_else(String::new, Place::path)
    }

    /// The fields of a message.
    fn fields<'de, A: MapAccess<'de>>(
        mut self,
        message: usize,
        mut map: A,
    ) -> Result<(), A::Error> {
        let shape = &MESSAGES[message];
        if entries::counts_conditions(shape.name) {
            self.search.conditions = 0;
        }
        let above = self.here;
        let mut given = Vec::new();
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let Some(field) = shape.fields.iter().find(|field| field.is_named(&key)) else {
                let place = Place {
                    above,
                    field: &clipped(key.into_owned(), limits::MAX_ID_BYTES),
                    at: None,
                };
                let message = format!("is not a field of {}", shape.name);
                return Err(self.search.refuse(Violation::new(place.path(), message)));
            };

            let of = if field.repeated {
                Of::Entries(message, field)
            } else {
                Of::single(field.message)
            };
            let here = Place { above, field: field.name, at: None };
            if given.contains(&field.number) {
                let message = "must be given once, is given again";
                return Err(self.search.refuse(Violation::new(here.path(), message)));
            }
            given.push(field.number);
            map.next_value_seed(self.within(of, &here))?;
        }
        Ok(())
    }

    /// Counts an entry of a field.
    fn count<E: Error>(&mut self, shape: usize, field: &Field, count: usize) -> Result<(), E> {
        let shape = &MESSAGES[shape];
        let Some(here) = self.here else { return Ok(()) };
        let few = check_count(entries::limit(shape, field), count, here);
        few.map_err(|violation| self.search.refuse(violation))?;

        if shape.name == entries::CONDITIONS {
            self.search.conditions += 1;
            let few = entries::count_conditions(self.search.conditions);
            few.map_err(|violation| self.search.refuse(violation))?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.of {
            Of::Message(place) if MESSAGES[place].name == MASK => {
                deserializer.deserialize_any(self)
            }
            Of::Message(place) if MESSAGES[place].name.starts_with(WELL_KNOWN) => {
                deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ())
            }
            Of::Plain => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ()),
            Of::Message(_) | Of::Entries(..) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        match self.of {
            Of::Message(message) => self.fields(message, map),

            // A map, whose entries are messages of a key and a value.
            Of::Entries(message, field) => {
                let value = field.message.and_then(|entry| MESSAGES[entry].fields.get(1));
                let of = Of::single(value.and_then(|value| value.message));
                let mut count = 0;
                while map.next_key::<IgnoredAny>()?.is_some() {
                    count += 1;
                    self.count(message, field, count)?;
                    let here = Place { above: self.here, field: "value", at: None };
                    map.next_value_seed(self.within(of, &here))?;
                }
                Ok(())
            }

            Of::Plain => Ok(()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let Of::Entries(message, field) = self.of else {
            return Err(A::Error::custom("for the parser to refuse"));
        };
        let of = Of::single(field.message);
        let mut count = 0;
        loop {
            let at = Place {
                above: self.here.and_then(|here| here.above),
                field: field.name,
                at: Some(count),
            };
            if list.next_element_seed(self.within(of, &at))?.is_none() {
                return Ok(());
            }
            count += 1;
            self.count(message, field, count)?;
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let Of::Message(place) = self.of else { return Ok(()) };
        if MESSAGES[place].name != MASK {
            return Ok(());
        }
        let paths = text.split(',').count();
        if paths > limits::MAX_PATHS {
            let message = format!("must have 1 to {} paths, has {paths}", limits::MAX_PATHS);
            return Err(self.search.refuse(Violation::new(self.path(), message)));
        }

        // JSON changes the capitals of a path into underscores, and so the key of a map into another.
        let is_changed = |key: &str| key.contains(|letter: char| letter.is_ascii_uppercase());
        let mut keys = text.split(',').filter_map(|path| path.split_once('.'));
        if let Some((_, key)) = keys.find(|(_, key)| is_changed(key)) {
            let message =
                format!("cannot name {} in JSON, which knows no capitals there", quoted(key));
            return Err(self.search.refuse(Violation::new(self.path(), message)));
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, json: &str) -> Option<String> {
        check(name, json.as_bytes()).err().map(|violation| violation.to_string())
    }

    #[test]
    fn entries_are_counted_before_they_are_read() {
        let many = |entry: &str, count: usize| vec![entry; count].join(",");
        let events = format!(r#"{{"events": [{}]}}"#, many("{}", 20_000));
        let said = refused("WriteEventsRequest", &events).unwrap();
        assert_eq!(said, "events: must have 1 to 10000 entries, has more");

        let tags = format!(r#"{{"items": [{{}}, {{"tags": [{}]}}]}}"#, many("\"\"", 65));
        let said = refused("UpsertItemsRequest", &tags).unwrap();
        assert_eq!(said, "items[1].tags: must have 0 to 64 entries, has more");

        let attributes: Vec<String> = (0..65).map(|n| format!(r#""a{n}": """#)).collect();
        let map = format!(r#"{{"items": [{{"attributes": {{{}}}}}]}}"#, attributes.join(","));
        let said = refused("UpsertItemsRequest", &map).unwrap();
        assert_eq!(said, "items[0].attributes: must have 0 to 64 entries, has more");

        let mask = format!(r#"{{"updateMask": "{}"}}"#, many("a", 1_000_000));
        let said = refused("UpsertItemsRequest", &mask).unwrap();
        assert_eq!(said, "update_mask: must have 1 to 80 paths, has 1000000");

        let said = refused("UpsertItemsRequest", r#"{"updateMask": "price,attributes.fooBar"}"#);
        assert!(said.unwrap().starts_with("update_mask: cannot name \"fooBar\""));
        assert_eq!(
            refused("UpsertItemsRequest", r#"{"updateMask": "validFrom,attributes.foo"}"#),
            None
        );

        let all = format!(r#"{{"anyOf": {{"conditions": [{}]}}}}"#, many("{}", 60));
        let condition = format!(r#"{{"allOf": {{"conditions": [{all}, {all}]}}}}"#);
        let filter = format!(r#"{{"filter": {{"condition": {condition}}}}}"#);
        assert!(refused("PopularRequest", &filter).unwrap().contains("has 101"));
    }

    #[test]
    fn unknown_fields_are_named_by_their_path() {
        let said = refused("PopularRequest", r#"{"filter": {"condition": {"bran": "x"}}}"#);
        assert_eq!(said.unwrap(), "filter.condition.bran: is not a field of Condition");
        let said = refused("WriteEventsRequest", r#"{"events": [{}, {"user": "x"}]}"#);
        assert_eq!(said.unwrap(), "events[1].user: is not a field of Event");
        let said = refused("GetItemRequest", r#"{"itemId": "a", "item_id": "b"}"#);
        assert_eq!(said.unwrap(), "item_id: must be given once, is given again");
    }

    #[test]
    fn what_fits_passes_and_what_the_parser_refuses_too() {
        for json in [
            r#"{"events": [{"userId": "u", "item_id": "i", "time": "2024-01-01T00:00:00Z"}]}"#,
            r#"{"events": null}"#,
            r#"{"events": [null, 7, "x", [], {"time": {"seconds": {}}}]}"#,
            r#"{"events": 1.5}"#,
            r#"{"events": ["#,
            "[]",
            "",
        ] {
            assert_eq!(refused("WriteEventsRequest", json), None, "{json}");
        }
    }
}
