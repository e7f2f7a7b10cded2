//! The trait that describes a candidate source.

use super::memory::{DataSize, MemoryNeed};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::Hyperparameter;
use crate::domain::progress::Control;
use crate::model::{Parts, Settings, Snapshot};
use crate::train::{TrainError, TrainingData};

/// What a source is trained from.
#[derive(Clone, Copy)]
pub struct TrainingJob<'a> {
    /// The events, and the matrices made from them.
    pub data: &'a TrainingData<'a>,
    /// The settings of all sources.
    pub settings: &'a Settings,
    /// Seed of every random draw.
    pub seed: u64,
    /// Reports progress and cancels.
    pub control: &'a Control<'a>,
}

/// A way to propose items.
pub trait CandidateSource: Sync {
    /// Trains its part of the snapshot. A source without a part, which reads other sources' parts
    /// or the history alone, does nothing.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`] when cancelled, [`TrainError::Factorisation`].
    fn train(&self, _job: &TrainingJob<'_>, _parts: &mut Parts) -> Result<(), TrainError> {
        Ok(())
    }

    /// The memory that it takes at most while it is trained, and what it keeps.
    fn memory(&self, _size: &DataSize, _settings: &Settings) -> MemoryNeed {
        MemoryNeed::default()
    }

    /// Builds an index over its part, for a snapshot that will serve; returns measured quality by
    /// name. Trials of the tuner build no index.
    ///
    /// # Errors
    /// As [`CandidateSource::train`].
    fn index(
        &self,
        _job: &TrainingJob<'_>,
        _parts: &mut Parts,
    ) -> Result<Option<(String, f64)>, TrainError> {
        Ok(None)
    }

    /// Writes its best `k` allowed items, best first, with scores above 0, into
    /// `scratch.candidates`.
    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch);

    /// The settings that the tuner may change, in the order in which it does.
    fn search_space(&self) -> Vec<Hyperparameter> {
        Vec::new()
    }

    /// Whether a setting of the search space can have an effect on this data.
    fn is_worth_trying(&self, _setting: &Hyperparameter, _data: &TrainingData<'_>) -> bool {
        true
    }

    /// Whether its part is trained even where the blend does not ask it: other methods read it.
    fn is_always_trained(&self) -> bool {
        false
    }

    /// Whether it reads the order of events: omitted where times do not order the log.
    fn reads_order(&self) -> bool {
        false
    }

    /// Its place in the order in which sources are tuned; those with the same place keep the
    /// blend's order.
    fn tuning_order(&self) -> u8 {
        u8::MAX
    }

    /// Copies to its settings the weighting of events that was found best for user CF, the
    /// cheapest source that reads the user's row; none for a source that does not read it.
    fn copy_weighting(&self) -> Option<fn(&mut Settings)> {
        None
    }
}
