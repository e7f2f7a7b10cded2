//! When a training starts by itself.

use std::time::{Duration, Instant};

use super::erasure;
use crate::engine::options::TrainOptions;
use crate::engine::state::State;

/// Time after which a failed training that erased users need is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// What decides when the next training starts.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Records of the log that a training reads, at the last attempt, successful or not: a log
    /// without more of them is not tried again.
    tried: Option<u64>,
    ended: Instant,
    took: Duration,
}

impl Schedule {
    /// A schedule after a model that was trained on `tried` records.
    pub(super) fn new(tried: Option<u64>) -> Self {
        Self { tried, ended: Instant::now(), took: Duration::ZERO }
    }

    /// Notes an attempt on this number of records that ends now.
    pub(super) fn note(&mut self, records: u64, took: Duration) {
        *self = Self { tried: Some(records), ended: Instant::now(), took };
    }

    /// Whether a training should start by itself.
    ///
    /// Erased users start one at once, but trainings for them take at most half of the time,
    /// and a failed one waits before it is tried again. A young store, before its first
    /// scheduled training, trains whenever its log has doubled and is quiet.
    pub(super) fn is_due(
        &self,
        state: &State,
        options: &TrainOptions,
        records: u64,
        is_quiet: bool,
    ) -> bool {
        let before = self.tried.unwrap_or(0);
        let grown = records.saturating_sub(before);
        let since = self.ended.elapsed();
        let may_erase = grown > 0 && since >= self.took || since >= RETRY;
        if may_erase && erasure::is_owed(state) {
            return true;
        }
        if !options.automatic || grown == 0 || state.live.events() == 0 {
            return false;
        }

        let interval = Duration::from_secs(options.every_minutes * 60);
        let by_time = !interval.is_zero() && since >= interval;
        let by_growth = options.new_events > 0 && grown >= options.new_events;
        let by_doubling = is_quiet && grown >= before;
        by_time || by_growth || by_doubling
    }
}
