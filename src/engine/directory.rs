//! Items and users by their ids, and in pages.

use super::page::Page;
use super::state::State;
use crate::domain::{Error, Item, ItemIdx, Result, User};

/// Reads what the store knows of items and users.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'s> {
    state: &'s State,
}

impl<'s> Directory<'s> {
    pub(super) fn new(state: &'s State) -> Self {
        Self { state }
    }

    /// Whether the store knows an item that is not deleted.
    pub fn knows_item(self, id: &str) -> bool {
        let live = &self.state.live;
        live.item(id).is_some_and(|idx| !live.catalogue.read().is_deleted(idx))
    }

    /// An item by its external id: its idx and its catalogue entry.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an item that the store does not know, or that is deleted.
    pub fn item(self, id: &str) -> Result<(ItemIdx, Item)> {
        let not_found = || not_found("item", id);
        let idx = self.state.live.item(id).ok_or_else(not_found)?;
        let catalogue = self.state.live.catalogue.read();
        if catalogue.is_deleted(idx) {
            return Err(not_found());
        }
        Ok((idx, catalogue.item(idx).unwrap_or_default().into_owned()))
    }

    /// A page of the items from idx `from` on, in idx order; where the next page begins, if
    /// there is one; and how many items the store knows.
    pub fn items(self, from: usize, page: Page) -> (Vec<(String, Item)>, Option<usize>, usize) {
        let names = self.state.live.items.read();
        let catalogue = self.state.live.catalogue.read();
        let (listed, next) = page.of(from, names.len(), |at| {
            // An idx without a name was lost with a file of the log.
            let id = Some(names.id(at)).filter(|id| !id.is_empty() && !catalogue.is_deleted(at))?;
            let item = catalogue.item(at).unwrap_or_default().into_owned();
            let bytes = id.len() + item.bytes();
            Some(((id.to_owned(), item), bytes))
        });
        (listed, next, names.len() - catalogue.deleted())
    }

    /// The profile of a user.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a user that the store does not know.
    pub fn user(self, id: &str) -> Result<User> {
        let idx = self.state.user_idx(id).ok_or_else(|| not_found("user", id))?;
        Ok(self.state.live.profiles.read().get(idx).cloned().unwrap_or_default())
    }

    /// The id of a user by any of their ids: an alias is named as the user is in the store.
    pub fn own_id(self, id: &str) -> String {
        let live = &self.state.live;
        let names = live.users.read();
        let idx = names.get(&self.state.pseudonyms.of(id));
        let user = idx.map(|idx| live.resolved(idx)).filter(|user| Some(*user) != idx);
        user.map_or(id, |user| names.id(user)).to_owned()
    }

    /// The aliases of a user, under their names in the store; none of a user that it does not know.
    pub fn aliases(self, id: &str) -> Vec<String> {
        let live = &self.state.live;
        let Some(user) = self.state.user_idx(id) else { return Vec::new() };
        let names = live.users.read();
        live.links.read().aliases(user).iter().map(|alias| names.id(*alias).to_owned()).collect()
    }

    /// A page of the users from idx `from` on, without aliases, in idx order, under their names in the store;
    /// and where the next page begins, if there is one.
    pub fn users(self, from: usize, page: Page) -> (Vec<(String, User)>, Option<usize>) {
        let names = self.state.live.users.read();
        let profiles = self.state.live.profiles.read();
        let links = self.state.live.links.read();
        page.of(from, names.len(), |at| {
            let id = Some(names.id(at)).filter(|id| !id.is_empty() && !links.is_alias(at))?;
            let user = profiles.get(at).cloned().unwrap_or_default();
            let bytes = id.len() + user.bytes();
            Some(((id.to_owned(), user), bytes))
        })
    }
}

/// The error for a user or an item that the store does not know.
pub(super) fn not_found(kind: &'static str, id: &str) -> Error {
    Error::NotFound { kind, id: id.to_owned() }
}
