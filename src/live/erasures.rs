//! Erased users, and what remains to do for them: the log's files contain them until they are
//! rewritten, and models until one is trained on what is left.

use std::collections::{HashMap, HashSet};

use crate::domain::{Offset, UserIdx};

/// Erasures.
#[derive(Debug, Default)]
pub struct Erasures {
    in_files: HashMap<UserIdx, Offset>,
    in_models: bool,
    newest: Option<Offset>,
    newest_out_of_files: Option<Offset>,
}

impl Erasures {
    /// Notes that a user was erased by the record at `offset`; `in_files`: the log still contains
    /// them.
    pub fn note(&mut self, user: UserIdx, offset: Offset, in_files: bool) {
        if in_files {
            self.in_files.insert(user, offset);
        } else {
            self.newest_out_of_files = Some(offset);
        }
        self.newest = Some(offset);
    }

    /// The users that the log's files still contain.
    pub fn in_files(&self) -> HashSet<UserIdx> {
        self.in_files.keys().copied().collect()
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
        let out = self.in_files.extract_if(|user, _| without.contains(user));
        let newest = out.map(|(_, offset)| offset).max();
        self.newest_out_of_files = self.newest_out_of_files.max(newest);
    }

    /// The offset of the newest erasure's record whose user the log's files no longer hold.
    pub fn newest_out_of_files(&self) -> Option<Offset> {
        self.newest_out_of_files
    }

    /// The offset of the newest erasure's record: a model trained on the log up to it may know a
    /// user who was erased since.
    pub fn newest(&self) -> Option<Offset> {
        self.newest
    }
}
