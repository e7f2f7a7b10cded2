//! What a follower takes in: blocks of the log, models, leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use super::source::Standing;
use super::spool::{Batch, Spool};
use crate::domain::{Error, Generation, Offset, Result};
use crate::engine::position::Position;
use crate::engine::state::State;
use crate::engine::write::{Write, Writer};
use crate::model::copied::IncomingModel;
use crate::model::{Manifest, Role};
use crate::store::{CopiedBlock, Copying, Writers};

/// A store that follows another.
#[derive(Debug)]
pub struct Follower {
    state: Arc<State>,
    writer: Writer,
    spool: Spool,
    /// Held while what was shown is sent: by one at a time.
    sending: Mutex<()>,
    is_apart: AtomicBool,
    id: uuid::Uuid,
}

impl Follower {
    pub(in crate::engine) fn new(state: Arc<State>, writer: Writer) -> Self {
        Self {
            state,
            writer,
            spool: Spool::default(),
            sending: Mutex::default(),
            is_apart: AtomicBool::new(false),
            id: uuid::Uuid::now_v7(),
        }
    }

    /// Its name, new with every start.
    pub fn id(&self) -> uuid::Uuid {
        self.id
    }

    /// Where its copy stands.
    pub fn position(&self) -> Position {
        self.state.position()
    }

    /// Notes who wrote the log that is followed, before anything of it is appended. Call it from a thread that
    /// may wait for the disk.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails, or the list is in no order.
    pub fn note_writers(&self, writers: Writers) -> Result<()> {
        writers.check().map_err(|what| Error::Storage(what.into()))?;
        if **self.state.writers.load() != writers {
            writers.write(&self.state.folder.log())?;
            self.state.writers.store(Arc::new(writers));
        }
        Ok(())
    }

    /// Notes up to where the newest model knows the log that is followed, before that part of it arrives.
    pub fn note_models(&self, standing: &Standing) {
        let newest = standing.models.iter().map(|model| model.offset).max();
        newest.into_iter().for_each(|offset| self.state.lease.note_model(offset));
    }

    /// Extends the lease by `length` from when it was asked for, as the log that is followed ended at `end`.
    pub fn extend_lease(&self, asked: Instant, length: Duration, end: Offset) {
        self.state.lease.extend(asked, length, end);
    }

    /// Puts blocks together that continue the copy.
    pub fn copying(&self) -> Copying {
        let users = self.state.live.users.read().len() as u64;
        let items = self.state.live.items.read().len() as u64;
        Copying::after(users, items, self.state.live.offset())
    }

    /// Appends blocks, durably, and applies them.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails, or they do not continue the copy.
    pub(super) async fn append(&self, blocks: Vec<CopiedBlock>) -> Result<Offset> {
        Ok(self.writer.copy(blocks).await?.offset)
    }

    /// Notes whether the copy is no part of the log that is followed, as the server that writes it says.
    pub fn note_apart(&self, is_apart: bool) {
        self.is_apart.store(is_apart, Ordering::Release);
    }

    /// Whether the copy is no part of that log, so that its offsets are others.
    pub fn is_apart(&self) -> bool {
        self.is_apart.load(Ordering::Acquire)
    }

    /// Whether there is anything to answer from: it has held a lease, or has a model.
    pub fn has_copied(&self) -> bool {
        self.state.lease.was_granted() || self.state.models.generation() > 0
    }

    /// Waits until everything before `offset` is visible, or `patience` ends; returns whether it is.
    pub async fn has_reached(&self, offset: Offset, patience: Duration) -> bool {
        self.state.has_reached(offset, patience).await
    }

    /// Whether it holds a lease: users may be answered from what is here of them.
    pub fn is_leased(&self) -> bool {
        self.state.lease.holds()
    }

    /// Time since the last lease that was granted was asked for, or since the store was opened.
    pub fn age(&self) -> Duration {
        self.state.lease.age().unwrap_or_default()
    }

    /// The models that are not here, those with a role in serving first. One with the same number that was made
    /// elsewhere is none of them.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails.
    pub fn missing(&self, standing: &Standing) -> Result<Vec<Manifest>> {
        let kept = self.state.models.list()?;
        let is_here = |model: &Manifest| {
            let same = |kept: &&Manifest| kept.generation == model.generation;
            kept.iter().find(same).is_some_and(|kept| kept.checksum == model.checksum)
        };
        let mut missing: Vec<Manifest> =
            standing.models.iter().filter(|model| !is_here(model)).cloned().collect();
        let active = standing.roles.active.unwrap_or(0);
        let is_idle = |model: &Manifest| {
            matches!(standing.roles.of(model.generation, active), Role::Staged | Role::Retired)
        };
        missing.sort_by_key(is_idle);
        Ok(missing)
    }

    /// Keeps a model that has arrived completely. The copy of the log must have reached what it was made of.
    /// Call it from a thread that may wait for the disk.
    ///
    /// # Errors
    /// [`Error::NotReady`] where the log has not, [`Error::Storage`] where its bytes are not what was sent, or
    /// the disk fails.
    pub fn keep_model(&self, model: IncomingModel) -> Result<Generation> {
        let manifest = model.manifest();
        let (generation, known) = (manifest.generation, manifest.known_offset());
        if known > self.state.live.offset() {
            let message = format!("model {generation} was made of records up to {known}");
            return Err(Error::NotReady(message));
        }
        // A model on disk must not know more than the log on disk.
        self.writer.submit_blocking(Write::Flush)?.wait()?;
        model.keep().map_err(|error| Error::Storage(error.into()))?;
        Ok(generation)
    }

    /// Gives the models the roles that they have where they are followed, as far as they are here, and removes
    /// those that are not kept there any more; returns whether the one that is active there is here. Call it
    /// from a thread that may wait for the disk.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails.
    pub fn follow_models(&self, standing: &Standing) -> Result<bool> {
        let before = self.state.models.generation();
        let Some(active) = self.state.models.follow(&standing.roles, &standing.models)? else {
            return Ok(standing.roles.active.is_none());
        };
        // As in the store that is followed: what the newest model knows is no longer new.
        let newest = standing.models.iter().map(|model| model.offset).max().unwrap_or(0);
        self.state.live.overlay.write().forget_before(newest);
        if active.generation != before {
            let offset = self.state.live.offset();
            tracing::info!(generation = active.generation, offset, "model followed");
        }
        Ok(true)
    }

    /// Held while what was shown here is sent.
    pub async fn sending(&self) -> MutexGuard<'_, ()> {
        self.sending.lock().await
    }

    /// The next answers to send that were shown here; none where there are none.
    pub fn next_shown(&self) -> Option<Batch> {
        let shown = self.state.exposures.drain();
        let lost = self.spool.add(&shown);
        self.state.stats.exposures_lost.inc_by(lost as u64);
        self.spool.first()
    }

    /// Notes that a batch is recorded, or, where it can never be, lost.
    pub fn sent(&self, batch: &Batch, is_recorded: bool) {
        let stats = &self.state.stats;
        let count = if is_recorded { &stats.exposures } else { &stats.exposures_lost };
        count.inc_by(batch.len() as u64);
        self.spool.remove(batch.sequence);
    }
}
