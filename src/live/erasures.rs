//! Who was erased, and how much of it is still to do: the log's files tell of a shopper
//! until they are rewritten, and models until one is trained on what is left.

use std::collections::HashSet;

use crate::domain::{Offset, UserIdx};

/// Erasures of shoppers.
#[derive(Debug, Default)]
pub struct Erasures {
    in_files: HashSet<UserIdx>,
    in_models: bool,
    newest: Option<Offset>,
}

impl Erasures {
    /// A shopper was erased by the record at `offset`; `in_files`: the log still names them.
    pub fn note(&mut self, user: UserIdx, offset: Offset, in_files: bool) {
        if in_files {
            self.in_files.insert(user);
        }
        self.newest = Some(offset);
    }

    /// Of whom the log's files still tell.
    pub fn in_files(&self) -> HashSet<UserIdx> {
        self.in_files.clone()
    }

    /// Whether there is anyone of whom they do.
    pub fn has_in_files(&self) -> bool {
        !self.in_files.is_empty()
    }

    /// Notes whether models are left that may know a shopper, since the disk refused.
    pub fn note_in_models(&mut self, left: bool) {
        self.in_models = left;
    }

    /// Whether there are.
    pub fn may_be_in_models(&self) -> bool {
        self.in_models
    }

    /// The log's files have been rewritten without these shoppers.
    pub fn rewritten(&mut self, without: &HashSet<UserIdx>) {
        self.in_files.retain(|user| !without.contains(user));
    }

    /// The offset of the newest erasure's record: a model trained on the log before an offset
    /// up to it may know someone who was erased since.
    pub fn newest(&self) -> Option<Offset> {
        self.newest
    }
}
