//! What folds the log, and when what it was folded into is saved. Writes pause meanwhile, so checkpoints become rarer as
//! the log grows.

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_128;

use super::options::EngineOptions;
use crate::domain::{Offset, Result};
use crate::store::{StoreFolder, checkpoint};

/// Share of the log, as a divisor, that is replayed at most before the next checkpoint.
const SHARE: u64 = 5;
/// Records that are replayed sooner than a checkpoint is worth when a store closes.
const AT_CLOSE: u64 = 100_000;

/// The name of what folds records: the code, and the settings that it depends on.
pub(super) fn folding(options: &EngineOptions) -> String {
    let EngineOptions { recommend, experiments, insight, shard, .. } = options;
    let of_histories = (recommend.history_limit, &recommend.cohorts, recommend.fatigue_after > 0);
    let of_lists = (experiments.attribution(), experiments.excluded());
    let settings = (of_histories, of_lists, insight.zone(), shard);
    let name = format!("{} {settings:?}", env!("SOURCE_HASH"));
    format!("{:032x}", xxh3_128(name.as_bytes()))
}

/// When checkpoints are written.
#[derive(Debug)]
pub(super) struct Checkpoints {
    folding: String,
    /// Minimum number of records between two; 0: none is written.
    every: u64,
    /// The offset of the last one, or of the last attempt; 0 without one.
    tried: AtomicU64,
}

impl Checkpoints {
    pub(super) fn new(folding: String, every: u64, written: Offset) -> Self {
        Self { folding, every, tried: AtomicU64::new(written) }
    }

    /// The name of what folds records.
    pub(super) fn folding(&self) -> &str {
        &self.folding
    }

    /// Notes the offset of a checkpoint, or of an attempt at one.
    pub(super) fn note_tried(&self, offset: Offset) {
        self.tried.store(offset, Ordering::Relaxed);
    }

    /// Whether it is time for one while the store is open, where the log ends at `end`.
    pub(super) fn is_due(&self, end: Offset) -> bool {
        self.every > 0 && self.since(end) >= self.every.max(end / SHARE)
    }

    /// Whether one is worth its time when the store closes.
    pub(super) fn is_due_at_close(&self, end: Offset) -> bool {
        self.every > 0 && self.since(end) >= AT_CLOSE.min(self.every)
    }

    fn since(&self, end: Offset) -> u64 {
        end.saturating_sub(self.tried.load(Ordering::Relaxed))
    }

    /// Removes the checkpoint of a store: the log's files are to be rewritten without someone whom it may name.
    ///
    /// # Errors
    /// Where the disk fails.
    pub(super) fn remove(&self, folder: &StoreFolder) -> Result<()> {
        checkpoint::remove(folder.root())?;
        self.note_tried(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_become_rarer_as_the_log_grows() {
        let due = |every, written, end| {
            let checkpoints = Checkpoints::new(String::new(), every, written);
            (checkpoints.is_due(end), checkpoints.is_due_at_close(end))
        };
        assert_eq!(due(1_000_000, 0, 99_999), (false, false));
        assert_eq!(due(1_000_000, 0, 100_000), (false, true));
        assert_eq!(due(1_000_000, 0, 1_000_000), (true, true));
        assert_eq!(due(1_000_000, 19_000_000, 20_000_000), (false, true));
        assert_eq!(due(1_000_000, 16_000_000, 20_000_000), (true, true));
        assert_eq!(due(1_000, 0, 1_000), (true, true));
        assert_eq!(due(0, 0, u64::MAX), (false, false));
    }

    #[test]
    fn other_settings_fold_otherwise() {
        let one = EngineOptions::default();
        let mut other = one.clone();
        assert_eq!(folding(&one), folding(&other));
        other.recommend.history_limit += 1;
        assert_ne!(folding(&one), folding(&other));
    }
}
