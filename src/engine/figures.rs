//! What is seen of a store at one moment, for its operator.

use std::collections::BTreeMap;
use std::time::Duration;

use super::registry::ServingModel;
use super::state::State;
use super::trainer::Trainer;
use super::write::Writer;
use crate::domain::Offset;

/// A store at one moment.
#[derive(Debug)]
pub struct StoreFigures {
    /// Records of the log.
    pub offset: Offset,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Files of the log.
    pub log_segments: usize,
    /// Bytes that are free on its disk; none where the system does not say.
    pub disk_free: Option<u64>,
    /// Time of the last backup in milliseconds since 1970; none where there was none.
    pub backup_ms: Option<i64>,
    /// Whether writes are accepted.
    pub takes_writes: bool,
    /// Bytes of writes that wait.
    pub waiting_bytes: usize,
    /// Trainings that run or wait.
    pub trainings: usize,
    /// End of the last training that published a model, in milliseconds since 1970; 0 for none.
    pub trained_ms: i64,
    /// The models with a role in serving, the active one first.
    pub models: Vec<ServingModel>,
    /// Users ever named.
    pub users: u64,
    /// Items ever named.
    pub items: u64,
    /// Memory by part in bytes, as estimated from numbers.
    pub memory: Vec<(&'static str, u64)>,
    /// Number of followers that hold a lease.
    pub followers: usize,
    /// Records that the slowest of them lacked when it was granted.
    pub followers_behind: u64,
    /// What a server that shares an object store has of it; none where the store is not written for others.
    pub shared: Option<SharedFigures>,
    /// By topic and partition: messages that are not taken in yet.
    pub topics_behind: BTreeMap<(String, u32), u64>,
    /// How the copy stands; none where the store follows no other.
    pub copy: Option<CopyFigures>,
}

/// How the copy of a store stands that follows another.
#[derive(Debug)]
pub struct CopyFigures {
    /// Whether it holds a lease.
    pub is_leased: bool,
    /// Time since its last lease was asked for, or since the store was opened.
    pub age: Duration,
    /// Records of the log that is followed, at that time, which are not here.
    pub behind: u64,
}

/// How a store stands that is uploaded for others.
#[derive(Debug)]
pub struct SharedFigures {
    /// Whether this server holds the lease to write.
    pub may_write: bool,
    /// Records that are not uploaded yet.
    pub behind: u64,
}

impl SharedFigures {
    fn of(state: &State) -> Option<Self> {
        let is_shared = state.seats.writing.is_some();
        is_shared.then(|| Self {
            may_write: state.seats.may_write(),
            behind: state.live.offset().saturating_sub(*state.uploaded.borrow()),
        })
    }
}

impl StoreFigures {
    /// What is seen of a store now.
    pub(super) fn of(state: &State, writer: &Writer, trainer: &Trainer) -> Self {
        let live = &state.live;
        let models = state.models.serving();
        let trained = models.iter().filter(|model| !model.manifest.is_pushed());
        let trained_ms = trained.map(|model| model.manifest.created_ms).max().unwrap_or(0);
        let (log_bytes, log_segments) = state.folder.log_size();

        let mut memory = live.memory_parts().to_vec();
        memory.push(("models", state.models.loaded_bytes()));
        let (followers, followers_behind) = state.followers.holding();
        Self {
            offset: live.offset(),
            log_bytes,
            log_segments,
            disk_free: state.folder.disk_free(),
            backup_ms: state.folder.last_backup().map(|backup| backup.at_ms),
            takes_writes: *writer.watch().borrow(),
            waiting_bytes: writer.waiting_bytes(),
            trainings: trainer.pending(),
            trained_ms: trained_ms.max(state.stats.trained_ms()),
            models,
            users: live.users.read().len() as u64,
            items: live.items.read().len() as u64,
            memory,
            followers,
            followers_behind,
            topics_behind: state.intake.behind(),
            shared: SharedFigures::of(state),
            copy: CopyFigures::of(state),
        }
    }
}

impl CopyFigures {
    fn of(state: &State) -> Option<Self> {
        Some(Self {
            is_leased: state.lease.holds(),
            age: state.lease.age()?,
            behind: state.lease.followed_end().saturating_sub(state.live.offset()),
        })
    }
}
