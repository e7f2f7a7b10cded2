//! Users as data: what is known of them, who they are, and their erasure.

use super::{Engine, Page, Receipt, Write, query};
use crate::domain::{Result, User, UserIdx, now_ms};

impl Engine {
    /// Describes users, or describes them anew, durably; in force from the receipt on.
    ///
    /// # Errors
    /// As [`Engine::record`].
    pub async fn upsert_users(&self, users: Vec<(String, User)>) -> Result<Receipt> {
        self.write(Write::Users(users)).await
    }

    /// What is known of a user.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] where the store has never heard of them.
    pub fn user(&self, id: &str) -> Result<User> {
        let idx = self.user_idx(id).ok_or_else(|| query::unknown("user", id))?;
        Ok(self.live().profiles.read().get(idx).cloned().unwrap_or_default())
    }

    /// A page of the users from idx `from` on, in idx order, under the names they have in the
    /// store; and where the next page begins, if there is one.
    pub fn users(&self, from: usize, page: Page) -> (Vec<(String, User)>, Option<usize>) {
        let names = self.live().users.read();
        let profiles = self.live().profiles.read();
        page.of(from, names.len(), |at| {
            let id = Some(names.id(at)).filter(|id| !id.is_empty())?;
            let user = profiles.get(at).cloned().unwrap_or_default();
            let bytes = id.len() + user.bytes();
            Some(((id.to_owned(), user), bytes))
        })
    }

    /// Erases a user: at once from all that answers, and from the log's files and the models
    /// by the training that begins of itself as soon as none runs.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] where the store does not know them; as
    /// [`Engine::record`].
    pub async fn erase_user(&self, id: &str) -> Result<Receipt> {
        let unknown = || query::unknown("user", id);
        self.user_idx(id).ok_or_else(unknown)?;
        let receipt = self.write(Write::Erase(id.to_owned(), now_ms())).await?;
        // Another caller may have been quicker.
        if receipt.recorded == 0 { Err(unknown()) } else { Ok(receipt) }
    }

    /// A user's idx by the name they have outside, if the store has heard of them.
    pub(super) fn user_idx(&self, id: &str) -> Option<UserIdx> {
        self.live().user(&self.pseudonyms.of(id))
    }
}
