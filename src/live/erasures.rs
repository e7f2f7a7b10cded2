//! Erased users, and what remains to do for them: the log's files contain them until they are
//! rewritten, and models until they are unlearned.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::domain::{Offset, UserIdx};

/// Erasures.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Erasures {
    in_files: HashSet<UserIdx>,
    in_models: bool,
    newest: Option<Offset>,
    newest_out_of_files: Option<Offset>,
}

impl Erasures {
    /// Notes that a user was erased by the record at `offset`; `in_files`: the log still contains
    /// them.
    pub fn note(&mut self, user: UserIdx, offset: Offset, in_files: bool) {
        if in_files {
            self.in_files.insert(user);
        } else {
            self.newest_out_of_files = Some(offset);
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

    /// Notes that the log's files are about to be rewritten without the users in them: from now on some
    /// files may hold nothing of them, also where that is cut short.
    pub fn begin_rewrite(&mut self) -> HashSet<UserIdx> {
        self.newest_out_of_files = self.newest;
        self.in_files.clone()
    }

    /// Notes that the erasures so far were read from the log: its files may have been rewritten in part.
    pub fn note_replayed(&mut self) {
        self.newest_out_of_files = self.newest;
    }

    /// Notes that the log's files were rewritten without these users.
    pub fn rewritten(&mut self, without: &HashSet<UserIdx>) {
        self.in_files.retain(|user| !without.contains(user));
    }

    /// The offset of the newest erasure's record of whose user the log's files may hold a part, or nothing.
    pub fn newest_out_of_files(&self) -> Option<Offset> {
        self.newest_out_of_files
    }

    /// The offset of the newest erasure's record: a model trained on the log up to it may know a
    /// user who was erased since.
    pub fn newest(&self) -> Option<Offset> {
        self.newest
    }
}
