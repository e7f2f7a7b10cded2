//! What the committer is asked to write, and what it answers.

use tokio::sync::oneshot;

use crate::domain::{Error, Event, ItemChange, Offset, PreferenceChange, Result, User};
use crate::store::{CopiedBlock, Position};

/// Largest batch in bytes; with a group before it, still a block that can be read.
pub(super) const BATCH_BYTES: usize = 128 << 20;

/// A write: durable as a whole or not at all.
#[derive(Debug)]
pub enum Write {
    /// Events to record.
    Events(Vec<Event>),
    /// Items to create, or fields of items to change.
    Items(Vec<(String, ItemChange)>),
    /// Items to mark as available or not; unknown ones are ignored.
    Availability(Vec<String>, bool),
    /// Items to delete from the catalogue; unknown ones are ignored.
    DeleteItems(Vec<String>),
    /// A chunk of an import, its users under their names in the store, and the digest that
    /// identifies the chunk when it is imported again.
    Imported(u128, Vec<Event>),
    /// Users to create or replace.
    Users(Vec<(String, User)>),
    /// A user's decision of their data, and whether an unknown user becomes known by it; otherwise one is
    /// ignored.
    Prefer(String, PreferenceChange, bool),
    /// Users whom the shop sent something at this time, in milliseconds since 1970; unknown ones are ignored.
    Contacted(Vec<String>, i64),
    /// A user, and ids that are the same user from now on; unknown ids become known.
    Link(String, Vec<String>),
    /// Ids that are users of their own again.
    Unlink(Vec<String>),
    /// Users to erase, and when that was requested, in milliseconds since 1970; unknown ones are
    /// ignored.
    Erase(Vec<String>, i64),
    /// The answers that wait to be recorded, in the queue of `engine/exposure_queue.rs`.
    Exposures,
    /// A person's decision.
    Decide(NewDecision),
    /// What was read from topics, and where reading them goes on: both or neither.
    TakenIn(Box<Write>, Vec<TakenIn>),
    /// Closes the current segment: all earlier records lie in files that no longer change.
    Seal,
    /// Flushes all earlier records to disk, whatever the durability.
    Flush,
    /// Blocks of the log that this store follows, as they were written there.
    Copied(Vec<CopiedBlock>),
}

/// A part of a topic's partition that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenIn {
    /// The topic.
    pub topic: String,
    /// The partition, counted from 0.
    pub partition: u32,
    /// Where reading began: where it had ended before, if it had; none: it is the first time.
    pub from: Option<u64>,
    /// The offset of the next message.
    pub next: u64,
}

/// A decision to write, as the next version of its kind.
#[derive(Debug)]
pub struct NewDecision {
    /// What it decides: "rules", "placements".
    pub kind: &'static str,
    /// The version that must be in force before it, 0 for none; none: any.
    pub expected_version: Option<u32>,
    /// When it was made, in milliseconds since 1970.
    pub time_ms: i64,
    /// Why; may be empty.
    pub note: String,
    /// What is decided, as JSON.
    pub body: String,
}

/// Confirms that a write is durable and visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Records written.
    pub recorded: usize,
    /// Events left out because their event id was known.
    pub duplicates: usize,
    /// Events left out because their users do not want them to be recorded.
    pub declined: usize,
    /// Offset just past the last record.
    pub offset: Offset,
}

impl TakenIn {
    /// Where reading the partition goes on.
    pub(super) fn end(&self) -> Position<'_> {
        Position { topic: &self.topic, partition: self.partition, next: self.next }
    }
}

/// A write that was submitted.
#[derive(Debug)]
#[must_use = "it may have failed"]
pub struct Pending(pub(super) oneshot::Receiver<Result<Receipt>>);

impl Pending {
    /// Waits until the write is durable and visible.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails, [`Error::ShuttingDown`] where the store closes.
    pub fn wait(self) -> Result<Receipt> {
        self.0.blocking_recv().map_err(|_| Error::ShuttingDown)?
    }
}

impl Write {
    /// Records that it may become.
    pub(super) fn len(&self) -> usize {
        match self {
            Write::Events(events) => events.len(),
            Write::Items(items) => items.len(),
            Write::Availability(ids, _)
            | Write::Contacted(ids, _)
            | Write::DeleteItems(ids)
            | Write::Erase(ids, _) => ids.len(),
            Write::Link(_, aliases) => aliases.len() + 1,
            Write::Unlink(aliases) => aliases.len(),
            Write::Imported(_, events) => events.len() + 1,
            Write::Users(users) => users.len(),
            Write::Prefer(..) | Write::Decide(_) => 1,
            Write::Copied(blocks) => blocks.iter().map(CopiedBlock::len).sum(),
            Write::TakenIn(write, parts) => write.len() + parts.len(),
            Write::Exposures | Write::Seal | Write::Flush => 0,
        }
    }

    /// Whether a store that follows another takes it.
    pub(super) fn follows(&self) -> bool {
        matches!(self, Write::Copied(_) | Write::Seal | Write::Flush)
    }

    /// Whether no other write may follow it in a group: its effect shows only once live state
    /// has it, or the stored items may be larger than the change.
    pub(super) fn ends_group(&self) -> bool {
        match self {
            Write::Erase(..)
            | Write::Prefer(..)
            | Write::Link(..)
            | Write::Unlink(_)
            | Write::DeleteItems(_)
            | Write::Copied(_)
            | Write::TakenIn(..)
            | Write::Decide(_) => true,
            Write::Items(changes) => changes.iter().any(|(_, change)| !change.is_whole()),
            _ => false,
        }
    }

    /// Approximate bytes in memory and, before compression, in the log.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Write::Events(events) | Write::Imported(_, events) => {
                events.iter().map(Event::bytes).sum()
            }
            Write::Items(items) => items.iter().map(|(id, change)| id.len() + change.bytes()).sum(),
            Write::Users(users) => users.iter().map(|(id, user)| id.len() + user.bytes()).sum(),
            Write::Availability(ids, _)
            | Write::Contacted(ids, _)
            | Write::Unlink(ids)
            | Write::DeleteItems(ids)
            | Write::Erase(ids, _) => ids.iter().map(|id| id.len() + 24).sum(),
            Write::Link(id, aliases) => {
                id.len() + aliases.iter().map(|id| id.len() + 24).sum::<usize>()
            }
            Write::Prefer(id, change, _) => id.len() + change.bytes(),
            Write::Decide(decision) => decision.note.len() + decision.body.len(),
            Write::Copied(blocks) => blocks.iter().map(CopiedBlock::bytes).sum(),
            Write::TakenIn(write, _) => write.bytes(),
            Write::Exposures | Write::Seal | Write::Flush => 0,
        }
    }
}
