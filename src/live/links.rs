//! Users who are known by several ids: aliases (a device, a card, the hash of an address) and the user that
//! they are.
//!
//! The log keeps under which id each event came. While an alias is linked, all of its user's live state is in
//! the place of the user. A link adds the state of the alias to it. When it is taken back, what the ids
//! concerned did is made anew from the log, as if the link had never been. Profiles and decisions are kept by
//! id, so that neither way overrules an objection.

use std::collections::HashSet;

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use super::{Live, LiveWriter};
use crate::domain::{ItemIdx, Offset, UserIdx};
use crate::store::{Entry, Record};

/// Maximum number of aliases of a user.
pub const MAX_ALIASES: usize = 100;

/// The aliases of all users.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Links {
    /// The user of each alias, and the offset of the record that linked it.
    user_of: AHashMap<UserIdx, (UserIdx, Offset)>,
    aliases: AHashMap<UserIdx, Vec<UserIdx>>,
    /// Those whose state is to be made anew.
    parted: HashSet<UserIdx>,
}

impl Links {
    /// The user that an id is: itself, unless it is an alias.
    pub fn resolve(&self, user: UserIdx) -> UserIdx {
        if self.user_of.is_empty() {
            return user;
        }
        self.user_of.get(&user).map_or(user, |(user, _)| *user)
    }

    /// Whether the state of some is to be made anew.
    pub fn has_parted(&self) -> bool {
        !self.parted.is_empty()
    }

    /// Whether an id is an alias.
    pub fn is_alias(&self, user: UserIdx) -> bool {
        !self.user_of.is_empty() && self.user_of.contains_key(&user)
    }

    /// The aliases of a user, in the order in which they were linked.
    pub fn aliases(&self, user: UserIdx) -> &[UserIdx] {
        self.aliases.get(&user).map_or(&[], Vec::as_slice)
    }

    /// All ids of the user that an id is: the aliases, and last the user.
    pub fn all(&self, user: UserIdx) -> Vec<UserIdx> {
        let user = self.resolve(user);
        self.aliases(user).iter().copied().chain([user]).collect()
    }

    /// The ids whose state is to be made anew.
    pub fn parted(&self) -> impl Iterator<Item = UserIdx> {
        self.parted.iter().copied()
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let each = 2 * size_of::<(UserIdx, UserIdx, Offset)>() + size_of::<Vec<UserIdx>>();
        self.user_of.capacity() * each
    }

    /// Whether the record at an offset linked an id that is an alias now.
    fn is_since(&self, alias: UserIdx, offset: Offset) -> bool {
        self.user_of.get(&alias).is_some_and(|(_, since)| *since == offset)
    }

    fn link(&mut self, alias: UserIdx, user: UserIdx, offset: Offset) {
        if self.user_of.insert(alias, (user, offset)).is_none() {
            self.aliases.entry(user).or_default().push(alias);
        }
    }

    /// Takes the link of an alias back; returns the user that it was.
    fn unlink(&mut self, alias: UserIdx) -> Option<UserIdx> {
        let (user, _) = self.user_of.remove(&alias)?;
        if let Some(aliases) = self.aliases.get_mut(&user) {
            aliases.retain(|other| *other != alias);
            if aliases.is_empty() {
                self.aliases.remove(&user);
            }
        }
        Some(user)
    }
}

impl Live {
    /// The user that an id is.
    pub fn resolved(&self, user: UserIdx) -> UserIdx {
        self.links.read().resolve(user)
    }

    /// Makes an id an alias of a user, by the record at an offset.
    pub(super) fn link(
        &self,
        writer: &mut LiveWriter,
        (alias, user): (UserIdx, UserIdx),
        offset: Offset,
    ) {
        self.links.write(writer).link(alias, user, offset);
        let all = self.links.read().all(user);
        self.profiles.write(writer).join(&all);
        self.absorb(writer, alias, user);
    }

    /// Adds what an alias did to what a user did.
    fn absorb(&self, writer: &mut LiveWriter, alias: UserIdx, user: UserIdx) {
        let shared = self.histories.absorb(user, alias);
        self.forget_buyers(writer, &shared);
        self.hidden.write(writer).absorb(user, alias);
        self.impressions.write(writer).absorb(user, alias);
        self.orders.write(writer).absorb(user, alias);
        self.activity.write(writer).absorb(user, alias);
        self.overlay.write().forget_user(alias);
    }

    /// Takes the link of an alias back. What all ids of the user did is to be made anew.
    pub(super) fn unlink(&self, writer: &mut LiveWriter, alias: UserIdx) {
        let rest = {
            let mut links = self.links.write(writer);
            let Some(user) = links.unlink(alias) else { return };
            let rest = links.all(user);
            links.parted.extend(rest.iter().copied().chain([alias]));
            rest
        };
        self.profiles.write(writer).part(alias, &rest);
    }

    /// Erases a user from all links.
    pub(super) fn erase_links(&self, writer: &mut LiveWriter, user: UserIdx) {
        if self.links.read().user_of.is_empty() {
            return;
        }
        let mut links = self.links.write(writer);
        links.unlink(user);
        for alias in links.aliases(user).to_vec() {
            links.unlink(alias);
        }
    }

    /// Makes the state of ids anew whose links were taken back: `replay` passes every entry of the log as of
    /// now. Counts of the whole store stay as they are.
    ///
    /// # Errors
    /// Those of `replay`; the ids stay to be made anew.
    pub(crate) fn remake_parted<E>(
        &self,
        writer: &mut LiveWriter,
        replay: impl FnOnce(&mut dyn FnMut(Entry<'_>)) -> Result<(), E>,
    ) -> Result<(), E> {
        // One that was linked elsewhere since concerns that user too.
        let ids: HashSet<UserIdx> = {
            let links = self.links.read();
            links.parted.iter().flat_map(|id| links.all(*id).into_iter().chain([*id])).collect()
        };
        if ids.is_empty() {
            return Ok(());
        }

        for &id in &ids {
            self.forget_deeds(writer, id);
        }
        let mut joined = HashSet::new();
        replay(&mut |entry| {
            if let Entry::Record(offset, record) = &entry {
                self.remake(writer, &ids, &mut joined, (*offset, record));
            }
        })?;

        self.links.write(writer).parted.clear();
        Ok(())
    }

    /// Applies a record to what `ids` did; `joined`: those whose links, which are in force, lie before it.
    fn remake(
        &self,
        writer: &mut LiveWriter,
        ids: &HashSet<UserIdx>,
        joined: &mut HashSet<UserIdx>,
        (offset, record): (Offset, &Record<'_>),
    ) {
        match record {
            Record::Event(event) if ids.contains(&event.user) => {
                let is_joined = joined.contains(&event.user);
                let user = if is_joined { self.resolved(event.user) } else { event.user };
                let (event, remembered) = self.read_event(writer, event, user);
                let (_, first) = self.note_user(writer, &event, &remembered);
                if first && self.profiles.read().consents(user) {
                    self.note_buyer(writer, event.item);
                }
            }
            Record::Linked(alias, user)
                if ids.contains(alias) && self.links.read().is_since(*alias, offset) =>
            {
                joined.insert(*alias);
                self.absorb(writer, *alias, *user);
            }
            Record::Erased(user, _) if ids.contains(user) => self.forget_deeds(writer, *user),
            _ => {}
        }
    }

    /// Forgets what a user did.
    pub(super) fn forget_deeds(&self, writer: &mut LiveWriter, user: UserIdx) {
        let items = self.histories.erase(user);
        self.forget_buyers(writer, &items);
        self.overlay.write().forget_user(user);
        self.hidden.write(writer).erase(user);
        self.impressions.write(writer).erase(user);
        self.orders.write(writer).erase(user);
        self.activity.write(writer).erase(user);
    }

    fn forget_buyers(&self, writer: &mut LiveWriter, items: &[ItemIdx]) {
        let mut buyers = self.buyers.write(writer);
        for &item in items {
            if let Some(buyers) = buyers.get_mut(item as usize) {
                *buyers = buyers.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_resolve_and_part() {
        let mut links = Links::default();
        links.link(1, 9, 5);
        links.link(2, 9, 6);
        links.link(2, 9, 6);
        assert_eq!((links.resolve(1), links.resolve(9), links.resolve(3)), (9, 9, 3));
        assert_eq!(
            (links.aliases(9), links.is_alias(2), links.is_alias(9)),
            (&[1, 2][..], true, false)
        );
        assert!(links.is_since(1, 5) && !links.is_since(1, 6) && !links.is_since(9, 5));
        assert_eq!((links.all(1), links.all(3)), (vec![1, 2, 9], vec![3]));
        assert_eq!((links.unlink(1), links.unlink(1)), (Some(9), None));
        assert_eq!((links.aliases(9), links.resolve(1)), (&[2][..], 1));
        assert_eq!((links.unlink(2), links.aliases(9).len()), (Some(9), 0));
    }
}
