//! Profiles of users: attributes and consent, as the shop has them, and what users decided of their data.

use std::collections::HashSet;

use ahash::AHashMap;

use crate::domain::{Preferences, User, UserIdx};

/// All profiles.
#[derive(Debug, Default)]
pub struct Profiles {
    users: Vec<Option<Box<User>>>,
    /// Those of users who decided something.
    preferences: AHashMap<UserIdx, Preferences>,
    /// The users without consent.
    objecting: HashSet<UserIdx>,
    /// When the shop last sent users something, in milliseconds since 1970.
    contacted: AHashMap<UserIdx, i64>,
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
        self.forget_user(idx);
        self.bytes += user.bytes();
        self.users[slot] = Some(Box::new(user.clone()));
        self.note_consent(idx);
    }

    /// Notes what a user decided.
    pub fn decide(&mut self, idx: UserIdx, preferences: &Preferences) {
        self.forget_preferences(idx);
        if !preferences.is_default() {
            self.bytes += preferences.bytes();
            self.preferences.insert(idx, preferences.clone());
        }
        self.note_consent(idx);
    }

    /// Notes that the shop sent a user something.
    pub fn contact(&mut self, idx: UserIdx, time_ms: i64) {
        let last = self.contacted.entry(idx).or_insert(time_ms);
        *last = (*last).max(time_ms);
    }

    /// When the shop last sent a user something, in milliseconds since 1970; none where it did not.
    pub fn contacted_ms(&self, idx: UserIdx) -> Option<i64> {
        self.contacted.get(&idx).copied()
    }

    /// Adds the profile, the decisions and the contacts of an alias to those of a user. Of an attribute that both
    /// have, the user's value stays; an objection of either holds.
    pub fn absorb(&mut self, user: UserIdx, alias: UserIdx) {
        let of_alias = self.get(alias).cloned();
        let decisions = [alias, user].map(|idx| self.preferences(idx).cloned());
        let contacted = self.contacted_ms(alias);
        self.erase(alias);

        if let Some(of_alias) = of_alias {
            self.merge(user, of_alias);
        }
        if let [Some(of_alias), own] = decisions {
            let own = own.unwrap_or_default();
            let both = Preferences {
                personalised: own.personalised && of_alias.personalised,
                recorded: own.recorded && of_alias.recorded,
                removed_tags: own.removed_tags.into_iter().chain(of_alias.removed_tags).collect(),
            };
            self.decide(user, &both);
        }
        if let Some(time_ms) = contacted {
            self.contact(user, time_ms);
        }
    }

    /// Adds a profile that came under an alias to the user's: it overrules neither an attribute nor an objection.
    pub fn merge(&mut self, user: UserIdx, of_alias: User) {
        let own = self.get(user).cloned().unwrap_or_default();
        let mut attributes = of_alias.attributes;
        attributes.extend(own.attributes);
        let consent = own.consent && of_alias.consent;
        self.upsert(user, &User { attributes, consent });
    }

    /// Erases a profile.
    pub fn erase(&mut self, idx: UserIdx) {
        self.contacted.remove(&idx);
        self.forget_user(idx);
        self.forget_preferences(idx);
        self.objecting.remove(&idx);
    }

    fn note_consent(&mut self, idx: UserIdx) {
        if self.consents(idx) {
            self.objecting.remove(&idx);
        } else {
            self.objecting.insert(idx);
        }
    }

    fn forget_user(&mut self, idx: UserIdx) {
        if let Some(user) = self.users.get_mut(idx as usize).and_then(Option::take) {
            self.bytes -= user.bytes();
        }
    }

    fn forget_preferences(&mut self, idx: UserIdx) {
        if let Some(preferences) = self.preferences.remove(&idx) {
            self.bytes -= preferences.bytes();
        }
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes + self.contacted.capacity() * size_of::<(UserIdx, i64)>()
    }

    /// The profile of a user, if one was written.
    pub fn get(&self, idx: UserIdx) -> Option<&User> {
        self.users.get(idx as usize)?.as_deref()
    }

    /// What a user decided; none where they decided nothing.
    pub fn preferences(&self, idx: UserIdx) -> Option<&Preferences> {
        self.preferences.get(&idx)
    }

    /// The users without consent.
    pub fn objecting(&self) -> &HashSet<UserIdx> {
        &self.objecting
    }

    /// Whether the events of a user may be used, which is the default: neither the shop's profile nor the user
    /// denies it.
    pub fn consents(&self, idx: UserIdx) -> bool {
        self.get(idx).is_none_or(|user| user.consent)
            && self.preferences(idx).is_none_or(|decided| decided.personalised)
    }

    /// Whether the events of a user are recorded, which is the default.
    pub fn records(&self, idx: UserIdx) -> bool {
        self.preferences(idx).is_none_or(|decided| decided.recorded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objection_of_an_alias_holds_for_the_user() {
        let mut profiles = Profiles::default();
        let user = |value: &str, consent| User {
            attributes: [("country".to_owned(), value.to_owned())].into(),
            consent,
        };
        profiles.upsert(1, &user("SE", true));
        profiles.upsert(2, &user("NO", false));
        profiles.contact(2, 7);
        profiles.absorb(1, 2);
        assert_eq!(profiles.get(1), Some(&user("SE", false)));
        assert_eq!((profiles.get(2), profiles.contacted_ms(1)), (None, Some(7)));
        let off = Preferences { personalised: false, ..Preferences::default() };
        profiles.decide(3, &off);
        profiles.absorb(4, 3);
        assert_eq!(profiles.preferences(4), Some(&off));
        assert_eq!(profiles.objecting(), &HashSet::from([1, 4]));
    }

    #[test]
    fn an_objection_outlasts_the_next_profile_and_goes_with_the_user() {
        let mut profiles = Profiles::default();
        let off = Preferences { personalised: false, recorded: false, ..Preferences::default() };
        profiles.decide(3, &off);
        profiles.upsert(3, &User::default());
        assert!(!profiles.consents(3) && !profiles.records(3));
        assert_eq!(profiles.objecting(), &HashSet::from([3]));
        profiles.contact(3, 20);
        profiles.contact(3, 10);
        assert_eq!(profiles.contacted_ms(3), Some(20));
        profiles.erase(3);
        assert_eq!(profiles.contacted_ms(3), None);
        assert!(profiles.consents(3) && profiles.records(3) && profiles.objecting().is_empty());
        assert_eq!(profiles.bytes, 0);
        profiles.decide(4, &Preferences::default());
        assert_eq!((profiles.preferences(4), profiles.bytes), (None, 0));
    }
}
