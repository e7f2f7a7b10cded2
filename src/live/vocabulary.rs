//! External ids and their dense idx, assigned in log order and never reused.

use compact_str::CompactString;
use indexmap::IndexSet;

/// A two-way map of ids; idx are 0, 1, 2, … in the order of [`Vocabulary::intern`].
#[derive(Debug, Default)]
pub struct Vocabulary {
    // Ids come from outside, so the hash is keyed at random. Those of up to 24 bytes stand in
    // the table itself: naming the items of a list waits for memory once an item, not twice.
    ids: IndexSet<CompactString, ahash::RandomState>,
}

impl Vocabulary {
    /// The idx of an id, if it is known.
    pub fn get(&self, id: &str) -> Option<u32> {
        self.ids.get_index_of(id).map(|idx| idx as u32)
    }

    /// The id behind an idx; empty for an idx never assigned.
    pub fn id(&self, idx: u32) -> &str {
        self.ids.get_index(idx as usize).map_or("", |id| id)
    }

    /// The idx of an id, assigned if it is new, and whether it is.
    pub fn intern(&mut self, id: &str) -> (u32, bool) {
        match self.get(id) {
            Some(idx) => (idx, false),
            None => (self.ids.insert_full(id.into()).0 as u32, true),
        }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no id is known.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
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
}
