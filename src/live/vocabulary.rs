//! External ids and their dense idx, assigned in log order and never reused: an erased id leaves
//! its idx behind without a name.

use std::fmt;

use compact_str::CompactString;
use indexmap::IndexSet;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A two-way map of ids; idx are 0, 1, 2, … in the order of [`Vocabulary::intern`].
#[derive(Debug, Default)]
pub struct Vocabulary {
    // Ids come from outside, so the hash has a random key. Ids of up to 24 bytes are stored inline:
    // naming the items of a list waits for memory once for each item, not twice. An idx without an
    // id holds a place that starts with a control character, which no id contains.
    ids: IndexSet<CompactString, ahash::RandomState>,
    /// Bytes of the ids that are too long to be stored inline, erased ones included.
    long_bytes: usize,
}

/// First character of the place of an idx without an id.
const BURIED: char = '\0';

impl Vocabulary {
    /// The idx of an id, if it is known.
    pub fn get(&self, id: &str) -> Option<u32> {
        self.ids.get_index_of(id).map(|idx| idx as u32)
    }

    /// The id of an idx; empty for an idx that was never assigned, or whose id was erased.
    pub fn id(&self, idx: u32) -> &str {
        let id = self.ids.get_index(idx as usize).filter(|id| !id.starts_with(BURIED));
        id.map_or("", |id| id)
    }

    /// Assigns the next idx to an erased id.
    pub fn bury(&mut self) {
        self.ids.insert(buried(self.ids.len()));
    }

    /// Removes the id of an idx; false where it has none.
    pub fn erase(&mut self, idx: u32) -> bool {
        if self.id(idx).is_empty() {
            return false;
        }
        self.ids.replace_index(idx as usize, buried(idx as usize)).is_ok()
    }

    /// The idx of an id, assigned if it is new, and whether it is new.
    pub fn intern(&mut self, id: &str) -> (u32, bool) {
        match self.get(id) {
            Some(idx) => (idx, false),
            None => {
                self.long_bytes += if id.len() > size_of::<CompactString>() { id.len() } else { 0 };
                (self.ids.insert_full(id.into()).0 as u32, true)
            }
        }
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        /// Of an id: itself, its hash, and its place in the table of hashes.
        const EACH: usize = size_of::<CompactString>() + 2 * size_of::<usize>();
        self.ids.len() * EACH + self.long_bytes
    }

    /// Number of assigned idx.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no id is known.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Serialize for Vocabulary {
    /// Writes the ids in the order of their idx, empty ones for those that are gone.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..self.len()).map(|idx| self.id(idx as u32)))
    }
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Ids)
    }
}

/// Ids for which there is room at once, whatever their number is said to be.
const MAX_RESERVED: usize = 1 << 20;

/// Reads ids in the order of their idx.
struct Ids;

impl<'de> Visitor<'de> for Ids {
    type Value = Vocabulary;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut ids: A) -> Result<Vocabulary, A::Error> {
        let mut vocabulary = Vocabulary::default();
        vocabulary.ids.reserve(ids.size_hint().unwrap_or_default().min(MAX_RESERVED));
        while let Some(id) = ids.next_element::<&str>()? {
            match id {
                "" => vocabulary.bury(),
                id if vocabulary.intern(id).1 => {}
                _ => return Err(serde::de::Error::custom("an id is there twice")),
            }
        }
        Ok(vocabulary)
    }
}

fn buried(idx: usize) -> CompactString {
    compact_str::format_compact!("{BURIED}{idx}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idx_follow_first_sight() {
        let mut ids = Vocabulary::default();
        assert_eq!(ids.intern("b"), (0, true));
        assert_eq!(ids.intern("a"), (1, true));
        assert_eq!(ids.intern("b"), (0, false));
        assert_eq!((ids.get("a"), ids.get("c"), ids.id(1), ids.id(9)), (Some(1), None, "a", ""));
    }

    #[test]
    fn an_erased_id_comes_back_as_another() {
        let mut ids = Vocabulary::default();
        ids.intern("b");
        ids.intern("a");
        assert!(ids.erase(0) && !ids.erase(0) && !ids.erase(9));
        assert_eq!((ids.get("b"), ids.id(0), ids.get("a")), (None, "", Some(1)));
        ids.bury();
        assert_eq!(ids.intern("b"), (3, true));
        assert_eq!((ids.id(2), ids.len()), ("", 4));
    }
}
