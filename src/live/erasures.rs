//! Erased users, and what remains to do for them: the log's files contain them until they are
//! rewritten, and models until one is trained on what is left.

use std::collections::HashSet;

use crate::domain::{Offset, UserIdx};

/// Erasures.
#[derive(Debug, Default)]
pub struct Erasures {
    in_files: HashSet<UserIdx>,
    in_models: bool,
    newest: Option<Offset>,
}

impl Erasures {
    /// Notes that a user was erased by the record at `offset`; `in_files`: the log still contains
    /// them.
    pub fn note(&mut self, user: UserIdx, offset: Offset, in_files: bool) {
        if in_files {
            self.in_files.insert(user);
        }
        self.newest = Some(offset);
    }

    /// The users that the log's files still contain.
    pub fn in_files(&self) -> HashSet<UserIdx> {
        self.in_files.clone()
    }

    /// Whether there are any.
    pub fn has_in_files(&self) -> bool {
        !self.in_files.is_empty()
    }

    /// Notes whether models remain that may know an erased user, because the disk failed.
    pub fn note_in_models(&mut self, left: bool) {
        self.in_models = left;
    }

    /// Whether such models remain.
    pub fn may_be_in_models(&self) -> bool {
        self.in_models
    }

    /// Notes that the log's files were rewritten without these users.
    pub fn rewritten(&mut self, without: &HashSet<UserIdx>) {
        self.in_files.retain(|user| !without.contains(user));
    }

    /// The offset of the newest erasure's record: a model trained on the log up to it may know a
    /// user who was erased since.
    pub fn newest(&self) -> Option<Offset> {
        self.newest
    }
}
