//! Profiles of users: attributes and consent.

use std::collections::HashSet;

use crate::domain::{User, UserIdx};

/// All profiles.
#[derive(Debug, Default)]
pub struct Profiles {
    users: Vec<Option<Box<User>>>,
    /// Bytes of all profiles.
    bytes: usize,
}

impl Profiles {
    /// Creates or replaces a profile.
    pub fn upsert(&mut self, idx: UserIdx, user: &User) {
        let slot = idx as usize;
        if slot >= self.users.len() {
            self.users.resize_with(slot + 1, || None);
        }
        self.erase(idx);
        self.bytes += user.bytes();
        self.users[slot] = Some(Box::new(user.clone()));
    }

    /// Erases a profile.
    pub fn erase(&mut self, idx: UserIdx) {
        if let Some(user) = self.users.get_mut(idx as usize).and_then(Option::take) {
            self.bytes -= user.bytes();
        }
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The profile of a user, if one was written.
    pub fn get(&self, idx: UserIdx) -> Option<&User> {
        self.users.get(idx as usize)?.as_deref()
    }

    /// The users without consent.
    pub fn objecting(&self) -> HashSet<UserIdx> {
        let users = (0..).zip(&self.users);
        users.filter(|(_, user)| user.as_ref().is_some_and(|u| !u.consent)).map(|u| u.0).collect()
    }

    /// Whether a user consents, which is the default.
    pub fn consents(&self, idx: UserIdx) -> bool {
        self.get(idx).is_none_or(|user| user.consent)
    }
}
