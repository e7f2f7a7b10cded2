//! The handle that takes writes: users get their names in the store, then the committer's
//! queue takes the write.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::committer::Committer;
use super::memory_budget::MemoryBudget;
use super::request::{Pending, Receipt, TakenIn, Write};
use crate::domain::{
    Error, Event, Item, ItemChange, Offset, PreferenceChange, Result, User, limits, now_ms,
};
use crate::engine::directory::{Directory, not_found};
use crate::engine::pseudonyms::Pseudonyms;
use crate::engine::state::State;
use crate::live::{DedupWindow, LiveWriter};
use crate::store::{CopiedBlock, Log};

/// Time between two looks at whether this server still writes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Takes writes of one store; clones share its queue.
#[derive(Debug, Clone)]
pub struct Writer {
    committer: Arc<Committer>,
    state: Arc<State>,
}

impl Writer {
    pub(in crate::engine) fn start(
        log: Log,
        dedup: DedupWindow,
        state: Arc<State>,
        writer: LiveWriter,
        budget: MemoryBudget,
    ) -> Result<Self> {
        let committer = Committer::start(log, dedup, state.clone(), writer, budget)?;
        let committer = Arc::new(committer);
        Ok(Self { committer, state })
    }

    /// Records events, durably; they count in the user's next list.
    ///
    /// # Errors
    /// [`crate::domain::Error::Overloaded`] while too many writes wait,
    /// [`crate::domain::Error::Storage`] where the disk fails.
    pub async fn record(&self, events: Vec<Event>) -> Result<Receipt> {
        self.write(Write::Events(events)).await
    }

    /// Creates or replaces items, durably; visible from the receipt on.
    ///
    /// # Errors
    /// As [`Writer::record`].
    pub async fn upsert_items(&self, items: Vec<(String, Item)>) -> Result<Receipt> {
        let whole = |(id, item)| (id, ItemChange::whole(item));
        self.change_items(items.into_iter().map(whole).collect()).await
    }

    /// Creates items or changes fields of them, durably; visible from the receipt on.
    ///
    /// # Errors
    /// [`crate::domain::Error::Invalid`] where an item breaks a limit after its change; as
    /// [`Writer::record`].
    pub async fn change_items(&self, changes: Vec<(String, ItemChange)>) -> Result<Receipt> {
        self.write(Write::Items(changes)).await
    }

    /// Marks items as available or not, durably; items that the store does not know are
    /// ignored.
    ///
    /// # Errors
    /// As [`Writer::record`].
    pub async fn set_availability(&self, ids: Vec<String>, available: bool) -> Result<Receipt> {
        self.write(Write::Availability(ids, available)).await
    }

    /// Deletes an item from the catalogue, durably: it is not offered until it is upserted.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] for an item that the store does not know, or that is
    /// deleted; as [`Writer::record`].
    pub async fn delete_item(&self, id: &str) -> Result<Receipt> {
        Directory::new(&self.state).item(id)?;
        let receipt = self.write(Write::DeleteItems(vec![id.to_owned()])).await?;

        // A concurrent call may have deleted it first.
        if receipt.recorded == 0 { Err(not_found("item", id)) } else { Ok(receipt) }
    }

    /// Creates or replaces users, durably; visible from the receipt on.
    ///
    /// # Errors
    /// As [`Writer::record`].
    pub async fn upsert_users(&self, users: Vec<(String, User)>) -> Result<Receipt> {
        self.write(Write::Users(users)).await
    }

    /// Records what a user decided of their data, durably; in force from the receipt on.
    ///
    /// # Errors
    /// [`crate::domain::Error::Invalid`] with the field; [`crate::domain::Error::NotFound`] for a user that the
    /// store does not know, unless `or_new`, which makes them known; as [`Writer::record`].
    pub async fn prefer(
        &self,
        id: &str,
        change: PreferenceChange,
        or_new: bool,
    ) -> Result<Receipt> {
        change.validate()?;
        if or_new && self.state.user_idx(id).is_none() {
            limits::new_id("user_id", id)?;
        }
        let receipt = self.write(Write::Prefer(id.to_owned(), change, or_new)).await?;

        if receipt.recorded == 0 { Err(not_found("user", id)) } else { Ok(receipt) }
    }

    /// Records that the shop sent users something, durably; unknown users are ignored.
    ///
    /// # Errors
    /// As [`Writer::record`].
    pub async fn contacted(&self, ids: Vec<String>, time_ms: i64) -> Result<Receipt> {
        self.write(Write::Contacted(ids, time_ms)).await
    }

    /// Makes ids aliases of a user, durably: from the receipt on they are one user, with the events of all.
    /// Unknown ids become known.
    ///
    /// # Errors
    /// [`crate::domain::Error::Invalid`] with the id that cannot be linked, and why; nothing is linked then.
    /// As [`Writer::record`].
    pub async fn link(&self, id: &str, aliases: Vec<String>) -> Result<Receipt> {
        self.write(Write::Link(id.to_owned(), aliases)).await
    }

    /// Makes aliases users of their own again, durably, as if they had never been linked; other ids are ignored.
    /// Takes as long as reading the log, in which no write is answered.
    ///
    /// # Errors
    /// As [`Writer::record`].
    pub async fn unlink(&self, aliases: Vec<String>) -> Result<Receipt> {
        self.write(Write::Unlink(aliases)).await
    }

    /// Erases a user: at once from all answers, and from the models and the log's files by the trainer, as
    /// soon as no training runs.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] for a user that the store does not know; as
    /// [`Writer::record`].
    pub async fn erase_user(&self, id: &str) -> Result<Receipt> {
        let not_found = || not_found("user", id);
        self.state.user_idx(id).ok_or_else(not_found)?;
        let receipt = self.write(Write::Erase(vec![id.to_owned()], now_ms())).await?;

        // A concurrent call may have erased them first.
        if receipt.recorded == 0 { Err(not_found()) } else { Ok(receipt) }
    }

    /// Writes what was read from topics, and notes where reading them goes on, durably: both or neither. Call it
    /// from a thread that may block: it waits for room in the queue.
    ///
    /// # Errors
    /// [`crate::domain::Error::Conflict`] where something else was read since; as the write itself.
    pub fn take_in(&self, write: Write, parts: Vec<TakenIn>) -> Result<Receipt> {
        self.write_blocking(Write::TakenIn(Box::new(write), parts))
    }

    /// Whether writes are accepted, and every change to come. After a failed flush they are
    /// not, until a restart.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.committer.watch()
    }

    /// Bytes of writes that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.committer.waiting_bytes()
    }

    /// Submits a write from a thread that may block: waits for room in the queue.
    /// [`Pending::wait`] waits for the receipt.
    ///
    /// # Errors
    /// [`crate::domain::Error::ShuttingDown`] once the store closes,
    /// [`crate::domain::Error::Invalid`] for a batch that is too large.
    pub fn submit_blocking(&self, write: Write) -> Result<Pending> {
        self.check(&write)?;
        self.committer.submit_blocking(pseudonymised(write, &self.state.pseudonyms))
    }

    /// Appends what another store has written.
    pub(in crate::engine) async fn copy(&self, blocks: Vec<CopiedBlock>) -> Result<Receipt> {
        self.write(Write::Copied(blocks)).await
    }

    async fn write(&self, write: Write) -> Result<Receipt> {
        self.check(&write)?;
        let written = self.committer.write(pseudonymised(write, &self.state.pseudonyms)).await?;
        if self.waits_for_upload() {
            let mut uploaded = self.state.uploaded.subscribe();
            while !self.is_uploaded(*uploaded.borrow_and_update(), written.offset)? {
                // The seat is looked at again.
                let _ = tokio::time::timeout(LOOK_EVERY, uploaded.changed()).await;
            }
        }
        Ok(written)
    }

    /// Writes from a thread that may block, as others write: acknowledged once it is.
    pub(in crate::engine) fn write_blocking(&self, write: Write) -> Result<Receipt> {
        let written = self.submit_blocking(write)?.wait()?;
        while self.waits_for_upload()
            && !self.is_uploaded(*self.state.uploaded.borrow(), written.offset)?
        {
            std::thread::sleep(LOOK_EVERY / 10);
        }
        Ok(written)
    }

    fn waits_for_upload(&self) -> bool {
        self.state.seats.acknowledges_uploaded && !self.state.lease.is_follower()
    }

    /// Whether the records before `offset` are uploaded, as those before `uploaded` are.
    fn is_uploaded(&self, uploaded: Offset, offset: Offset) -> Result<bool> {
        if uploaded >= offset {
            return Ok(true);
        }
        if self.state.closing.has_begun() {
            return Err(Error::ShuttingDown);
        }
        if self.state.seats.may_write() { Ok(false) } else { Err(Error::SeatLost) }
    }

    /// Refuses writes of its own to a store that follows another, and copies to one that does not.
    fn check(&self, write: &Write) -> Result<()> {
        let is_copy = matches!(write, Write::Copied(_));
        match (self.state.lease.is_follower(), is_copy) {
            (true, false) if !write.follows() => Err(Error::NotReady(
                "this store follows another server's; writes go there".to_owned(),
            )),
            (false, true) => Err(Error::NotReady("this store follows no other".to_owned())),
            _ => Ok(()),
        }
    }
}

/// A write with its users under their names in the store. An import has renamed them already:
/// it recognises rows by these names.
fn pseudonymised(mut write: Write, pseudonyms: &Pseudonyms) -> Write {
    if pseudonyms.is_keyed() {
        rename_users(&mut write, pseudonyms);
    }
    write
}

fn rename_users(write: &mut Write, pseudonyms: &Pseudonyms) {
    let rename = |id: &mut String| *id = pseudonyms.of(id).into_owned();
    match write {
        Write::Events(events) => events.iter_mut().for_each(|event| rename(&mut event.user_id)),
        Write::Users(users) => users.iter_mut().for_each(|(id, _)| rename(id)),
        Write::Contacted(ids, _) | Write::Unlink(ids) | Write::Erase(ids, _) => {
            ids.iter_mut().for_each(rename);
        }
        Write::Link(id, aliases) => aliases.iter_mut().chain([id]).for_each(rename),
        Write::Prefer(id, ..) => rename(id),
        Write::TakenIn(write, _) => rename_users(write, pseudonyms),
        Write::Items(_)
        | Write::Availability(..)
        | Write::DeleteItems(_)
        | Write::Imported(..)
        | Write::Exposures
        | Write::Copied(_)
        | Write::Decide(_)
        | Write::Seal
        | Write::Flush => {}
    }
}
