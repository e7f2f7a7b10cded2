//! What the engine's threads share.

use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::active_lists::ActiveLists;
use super::closing::Closing;
use super::desk::Desk;
use super::exposure_queue::ExposureQueue;
use super::folding::Checkpoints;
use super::followers::Followers;
use super::in_force::InForce;
use super::intake::Intake;
use super::lease::Lease;
use super::measure::Unmeasured;
use super::options::{StoreLimits, TrainOptions};
use super::pinned::PinnedModels;
use super::population::Populations;
use super::position::Position;
use super::pseudonyms::Pseudonyms;
use super::registry::Models;
use super::seats::Seats;
use super::stats::Stats;
use crate::domain::{Error, Offset, Result, Shard, UserIdx};
use crate::experiment::Measurements;
use crate::live::Live;
use crate::recommend::prepared::PreparedListOptions;
use crate::store::folder::FORMAT;
use crate::store::{Entry, StoreFolder, Writers, replay};

/// What the engine's threads share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) live: Live,
    pub(super) models: Models,
    /// The rules and placements in force.
    pub(super) in_force: InForce,
    /// Models that placements name.
    pub(super) pinned: PinnedModels,
    /// What compares users.
    pub(super) populations: Populations,
    /// What lists brought.
    pub(super) measurements: Mutex<Measurements>,
    /// Answers that wait to be recorded.
    pub(super) exposures: ExposureQueue,
    /// Users whose lists and events are not measured.
    pub(super) unmeasured: Unmeasured,
    pub(super) folder: StoreFolder,
    /// When checkpoints are written.
    pub(super) checkpoints: Checkpoints,
    pub(super) pseudonyms: Pseudonyms,
    /// Which lists are prepared.
    pub(super) lists: PreparedListOptions,
    /// The lists of active users; none where the configuration keeps none.
    pub(super) active_lists: Option<ActiveLists>,
    /// How large the store may become.
    pub(super) limits: ArcSwap<StoreLimits>,
    /// How it is trained, from the next training on.
    pub(super) train: ArcSwap<TrainOptions>,
    pub(super) closing: Closing,
    pub(super) stats: Stats,
    /// Until when users may be answered, in a store that follows another.
    pub(super) lease: Lease,
    /// Who wrote the log.
    pub(super) writers: ArcSwap<Writers>,
    /// What this server may do, where it shares an object store with others.
    pub(super) seats: Seats,
    /// Records before this offset are uploaded, where this server shares an object store with others.
    pub(super) uploaded: watch::Sender<Offset>,
    /// The topics that are taken in.
    pub(super) intake: Intake,
    /// Where models are handed over.
    pub(super) desk: Desk,
    /// Held while files of the log are rewritten.
    pub(super) rewriting: Mutex<()>,
    /// Number of times that files of the log were rewritten.
    pub(super) rewritings: watch::Sender<u64>,
    /// The followers.
    pub(super) followers: Followers,
    /// Held while what a follower has shown is recorded.
    pub(super) recording: Mutex<()>,
    /// The end of the log, which is durable and visible.
    pub(super) log_end: watch::Sender<Offset>,
    /// Held while a snapshot is assembled from the active one and a new part, until it is
    /// published.
    pub(super) assembling: Mutex<()>,
}

impl State {
    pub(super) fn new(
        (live, measurements, unmeasured): (Live, Measurements, Unmeasured),
        models: Models,
        (folder, writers, checkpoints): (StoreFolder, Writers, Checkpoints),
        pseudonyms: Pseudonyms,
        (lists, active_lists): (PreparedListOptions, Option<ActiveLists>),
        limits: (StoreLimits, TrainOptions),
        (stats, populations, lease, seats): (Stats, Populations, Lease, Seats),
    ) -> Self {
        let (limits, train) = limits;
        let limits = ArcSwap::from_pointee(limits);
        let train = ArcSwap::from_pointee(train);
        let closing = Closing::default();
        let assembling = Mutex::default();
        let in_force = InForce::default();
        let measurements = Mutex::new(measurements);
        let pinned = PinnedModels::default();
        let log_end = watch::Sender::new(live.offset());

        Self {
            live,
            models,
            in_force,
            pinned,
            populations,
            measurements,
            exposures: ExposureQueue::default(),
            unmeasured,
            folder,
            checkpoints,
            pseudonyms,
            lists,
            active_lists,
            limits,
            train,
            closing,
            stats,
            lease,
            writers: ArcSwap::from_pointee(writers),
            seats,
            uploaded: watch::Sender::new(0),
            intake: Intake::default(),
            desk: Desk::default(),
            rewriting: Mutex::default(),
            rewritings: watch::Sender::new(0),
            followers: Followers::default(),
            recording: Mutex::default(),
            log_end,
            assembling,
        }
    }

    /// The idx of a user by their external id, if the store knows them.
    pub(super) fn user_idx(&self, id: &str) -> Option<UserIdx> {
        self.live.user(&self.pseudonyms.of(id))
    }

    /// Checks that this server makes the lists of a user; an empty id is that of none.
    pub(super) fn check_shard(&self, id: &str) -> Result<()> {
        let here = self.live.shard();
        if here == Shard::WHOLE || id.is_empty() {
            return Ok(());
        }
        let of = self.live.shard_of(id);
        if of == here.index() {
            return Ok(());
        }
        Err(Error::OtherShard { id: id.to_owned(), of, here })
    }

    /// Where the log stands.
    pub(super) fn position(&self) -> Position {
        let offset = self.live.offset();
        Position {
            format: FORMAT,
            key: self.pseudonyms.fingerprint(),
            offset,
            writer: self.writers.load().of(offset).map(str::to_owned),
        }
    }

    /// Waits until everything before `offset` is visible, or `patience` ends; returns whether it is.
    pub(super) async fn has_reached(&self, offset: Offset, patience: Duration) -> bool {
        if self.live.offset() >= offset {
            return true;
        }
        let mut end = self.log_end.subscribe();
        let reached = end.wait_for(|&end| end >= offset);
        tokio::time::timeout(patience, reached).await.is_ok_and(|reached| reached.is_ok())
    }

    /// The memory of the data and of the models that are loaded, in bytes, estimated from their
    /// numbers.
    pub(super) fn memory_bytes(&self) -> u64 {
        let measured = self.measurements.lock().bytes() as u64;
        self.live.memory_bytes() + self.models.loaded_bytes() + self.pinned.bytes() + measured
    }

    /// Passes every entry of the log as of now to `visit`.
    pub(super) fn replay(&self, visit: &mut dyn FnMut(Entry<'_>)) -> Result<()> {
        Ok(replay(&self.folder.log(), self.live.offset(), visit)?)
    }
}

/// Warns of events written by a clock that was ahead of this machine's.
pub(super) fn warn_if_ahead(live: &Live) {
    let seconds = live.ahead_ms() / 1_000;
    if seconds > 0 {
        tracing::warn!(
            seconds,
            "the log holds events ahead of this machine's clock; they count as of now. Check the \
             clock, and where the log comes from"
        );
    }
}
