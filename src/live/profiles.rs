//! What the store knows of its shoppers besides what they did.

use std::collections::HashSet;

use crate::domain::{User, UserIdx};

/// Shoppers' attributes and consent.
#[derive(Debug, Default)]
pub struct Profiles {
    users: Vec<Option<Box<User>>>,
}

impl Profiles {
    /// Describes a shopper, or describes them anew.
    pub fn upsert(&mut self, idx: UserIdx, user: &User) {
        let slot = idx as usize;
        if slot >= self.users.len() {
            self.users.resize_with(slot + 1, || None);
        }
        self.users[slot] = Some(Box::new(user.clone()));
    }

    /// Forgets a shopper.
    pub fn erase(&mut self, idx: UserIdx) {
        if let Some(user) = self.users.get_mut(idx as usize) {
            *user = None;
        }
    }

    /// What is known of a shopper, if they were ever described.
    pub fn get(&self, idx: UserIdx) -> Option<&User> {
        self.users.get(idx as usize)?.as_deref()
    }

    /// Those whose behaviour may not be used.
    pub fn objecting(&self) -> HashSet<UserIdx> {
        let users = (0..).zip(&self.users);
        users.filter(|(_, user)| user.as_ref().is_some_and(|u| !u.consent)).map(|u| u.0).collect()
    }

    /// Whether a shopper's behaviour may be used: unless they said otherwise.
    pub fn consents(&self, idx: UserIdx) -> bool {
        self.get(idx).is_none_or(|user| user.consent)
    }
}
