//! The names of a group of writes: those of the store, and those that the group brings.

use indexmap::IndexSet;

use crate::live::{LiveWriter, Shared, Vocabulary};

/// A vocabulary with the names of a group, which are invisible to other threads until they are
/// durable. Only this thread adds to the vocabulary.
pub(super) struct Names<'g> {
    pub(super) known: &'g Shared<Vocabulary>,
    first_new: u32,
    new: IndexSet<&'g str, ahash::RandomState>,
}

impl<'g> Names<'g> {
    pub(super) fn new(known: &'g Shared<Vocabulary>) -> Self {
        Self { known, first_new: known.read().len() as u32, new: IndexSet::default() }
    }

    pub(super) fn intern(&mut self, id: &'g str, define: impl FnOnce(&str)) -> u32 {
        if let Some(idx) = self.known.read().get(id) {
            return idx;
        }
        let (place, new) = self.new.insert_full(id);
        if new {
            define(id);
        }
        self.first_new + place as u32
    }

    pub(super) fn get(&self, id: &str) -> Option<u32> {
        let new = || self.new.get_index_of(id).map(|place| self.first_new + place as u32);
        self.known.read().get(id).or_else(new)
    }

    /// The name of an idx that was known before the group.
    pub(super) fn name(&self, idx: u32) -> String {
        self.known.read().id(idx).to_owned()
    }

    /// Number of further names up to `max`.
    pub(super) fn left(&self, max: usize) -> usize {
        max.saturating_sub(self.first_new as usize + self.new.len())
    }

    pub(super) fn publish(&self, writer: &mut LiveWriter) {
        let mut vocabulary = self.known.write(writer);
        self.new.iter().for_each(|id| {
            vocabulary.intern(id);
        });
    }
}
