//! Profiles of users: attributes and consent, as the shop has them, and what users decided of their data.

use std::collections::HashSet;

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use crate::domain::{Preferences, User, UserIdx};

/// All profiles.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Profiles {
    users: Vec<Option<Box<User>>>,
    /// Those of users who decided something.
    preferences: AHashMap<UserIdx, Preferences>,
    /// The users without consent.
    objecting: HashSet<UserIdx>,
    /// When the shop last sent users something, in milliseconds since 1970.
    contacted: AHashMap<UserIdx, i64>,
    /// What came under each id of users with several.
    own: AHashMap<UserIdx, Own>,
    /// Bytes of all profiles.
    bytes: usize,
}

/// What came under one id.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Own {
    user: Option<User>,
    decided: Option<Preferences>,
    contacted_ms: Option<i64>,
}

impl Profiles {
    /// Creates or replaces a profile.
    fn upsert(&mut self, idx: UserIdx, user: &User) {
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
    fn decide(&mut self, idx: UserIdx, preferences: &Preferences) {
        self.forget_preferences(idx);
        if !preferences.is_default() {
            self.bytes += preferences.bytes();
            self.preferences.insert(idx, preferences.clone());
        }
        self.note_consent(idx);
    }

    /// When the shop last sent a user something, in milliseconds since 1970; none where it did not.
    pub fn contacted_ms(&self, idx: UserIdx) -> Option<i64> {
        self.contacted.get(&idx).copied()
    }

    /// Notes a profile under one of all ids of a user, of which the last is the user.
    pub fn note_profile(&mut self, all: &[UserIdx], id: UserIdx, user: &User) {
        match all {
            [_] => self.upsert(id, user),
            _ => self.note(all, id, |own| own.user = Some(user.clone())),
        }
    }

    /// Notes what a user decided, under one of all their ids.
    pub fn note_decision(&mut self, all: &[UserIdx], id: UserIdx, decided: &Preferences) {
        match all {
            [_] => self.decide(id, decided),
            _ => self.note(all, id, |own| own.decided = Some(decided.clone())),
        }
    }

    /// Notes that the shop sent a user something, under one of all their ids.
    pub fn note_contact(&mut self, all: &[UserIdx], id: UserIdx, time_ms: i64) {
        let newest = |before: Option<i64>| before.max(Some(time_ms)).unwrap_or(time_ms);
        match all {
            [_] => drop(self.contacted.insert(id, newest(self.contacted_ms(id)))),
            _ => self.note(all, id, |own| own.contacted_ms = Some(newest(own.contacted_ms))),
        }
    }

    fn note(&mut self, all: &[UserIdx], id: UserIdx, change: impl FnOnce(&mut Own)) {
        change(self.own.entry(id).or_default());
        self.combine(all);
    }

    /// Makes ids one user, the last of them.
    pub fn join(&mut self, all: &[UserIdx]) {
        for &id in all {
            if !self.own.contains_key(&id) {
                let own = self.own_of(id);
                self.own.insert(id, own);
            }
            self.set(id, Own::default());
        }
        self.combine(all);
    }

    /// Makes an alias a user of its own again; `rest` are the ids that stay one user.
    pub fn part(&mut self, alias: UserIdx, rest: &[UserIdx]) {
        let own = self.own.remove(&alias).unwrap_or_default();
        self.set(alias, own);
        match rest {
            [user] => {
                let own = self.own.remove(user).unwrap_or_default();
                self.set(*user, own);
            }
            _ => self.combine(rest),
        }
    }

    /// Gives the last of all ids what came under each: an attribute of the user comes before those of aliases, in
    /// the order of their links; an objection under any id holds.
    fn combine(&mut self, all: &[UserIdx]) {
        let Some(user) = all.last() else { return };
        let mut both = Own::default();
        for own in all.iter().rev().filter_map(|id| self.own.get(id)) {
            if let Some(of_id) = &own.user {
                let user = both.user.get_or_insert_default();
                user.consent &= of_id.consent;
                for (name, value) in &of_id.attributes {
                    user.attributes.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
            if let Some(of_id) = &own.decided {
                let decided = both.decided.get_or_insert_default();
                decided.personalised &= of_id.personalised;
                decided.recorded &= of_id.recorded;
                decided.removed_tags.extend(of_id.removed_tags.iter().cloned());
            }
            both.contacted_ms = both.contacted_ms.max(own.contacted_ms);
        }
        self.set(*user, both);
    }

    /// What is in force under an id.
    fn own_of(&self, id: UserIdx) -> Own {
        Own {
            user: self.get(id).cloned(),
            decided: self.preferences(id).cloned(),
            contacted_ms: self.contacted_ms(id),
        }
    }

    fn set(&mut self, id: UserIdx, own: Own) {
        match &own.user {
            Some(user) => self.upsert(id, user),
            None => self.forget_user(id),
        }
        self.decide(id, &own.decided.unwrap_or_default());
        match own.contacted_ms {
            Some(time_ms) => drop(self.contacted.insert(id, time_ms)),
            None => drop(self.contacted.remove(&id)),
        }
    }

    /// Erases a profile.
    pub fn erase(&mut self, idx: UserIdx) {
        self.contacted.remove(&idx);
        self.own.remove(&idx);
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
    fn ids_of_one_user_are_combined_and_part_as_they_were() {
        let mut profiles = Profiles::default();
        let user = |value: &str, consent| User {
            attributes: [("country".to_owned(), value.to_owned())].into(),
            consent,
        };
        profiles.note_profile(&[1], 1, &user("SE", true));
        profiles.note_profile(&[2], 2, &user("NO", false));
        profiles.note_contact(&[2], 2, 7);
        profiles.join(&[2, 1]);
        assert_eq!(profiles.get(1), Some(&user("SE", false)));
        assert_eq!((profiles.get(2), profiles.contacted_ms(1)), (None, Some(7)));
        // Whatever comes in whatever order, what denies holds until it is taken back under its own id.
        profiles.note_profile(&[2, 1], 1, &user("SE", true));
        assert!(!profiles.consents(1));
        profiles.note_profile(&[2, 1], 2, &user("NO", true));
        assert!(profiles.consents(1));
        let off = Preferences { personalised: false, ..Preferences::default() };
        profiles.note_decision(&[2, 1], 2, &off);
        assert_eq!(profiles.preferences(1), Some(&off));
        profiles.join(&[2, 3, 1]);
        profiles.part(3, &[2, 1]);
        assert!(!profiles.consents(1) && profiles.consents(3));
        profiles.part(2, &[1]);
        assert_eq!((profiles.consents(1), profiles.consents(2)), (true, false));
        assert_eq!(
            (profiles.get(1), profiles.get(2)),
            (Some(&user("SE", true)), Some(&user("NO", true)))
        );
        assert_eq!((profiles.contacted_ms(1), profiles.contacted_ms(2)), (None, Some(7)));
        assert!(profiles.own.is_empty());
    }

    #[test]
    fn an_objection_outlasts_the_next_profile_and_goes_with_the_user() {
        let mut profiles = Profiles::default();
        let off = Preferences { personalised: false, recorded: false, ..Preferences::default() };
        profiles.decide(3, &off);
        profiles.upsert(3, &User::default());
        assert!(!profiles.consents(3) && !profiles.records(3));
        assert_eq!(profiles.objecting(), &HashSet::from([3]));
        profiles.note_contact(&[3], 3, 20);
        profiles.note_contact(&[3], 3, 10);
        assert_eq!(profiles.contacted_ms(3), Some(20));
        profiles.erase(3);
        assert_eq!(profiles.contacted_ms(3), None);
        assert!(profiles.consents(3) && profiles.records(3) && profiles.objecting().is_empty());
        assert_eq!(profiles.bytes, 0);
        profiles.decide(4, &Preferences::default());
        assert_eq!((profiles.preferences(4), profiles.bytes), (None, 0));
    }
}
