//! When the trainer works by itself.

use std::time::{Duration, Instant};

use super::erasure;
use super::queue::Work;
use crate::engine::options::TrainOptions;
use crate::engine::state::State;

/// Time after which work for erased users that failed is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// What decides when the trainer works by itself.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Records of the log that a training reads, at the last attempt, successful or not: a log
    /// without more of them is not tried again.
    tried: Option<u64>,
    ended: Instant,
    /// Before this, erased users start no work.
    may_unlearn_at: Instant,
    /// Whether a training was stopped that has not begun again.
    is_unfinished: bool,
}

impl Schedule {
    /// A schedule after a model that was trained on `tried` records, and after a training that was stopped
    /// where one `is_unfinished`.
    pub(super) fn new(tried: Option<u64>, is_unfinished: bool) -> Self {
        let now = Instant::now();
        Self { tried, ended: now, may_unlearn_at: now, is_unfinished }
    }

    /// Notes work on this number of records that ends now.
    pub(super) fn note(
        &mut self,
        state: &State,
        (work, is_done): (Work, bool),
        records: u64,
        took: Duration,
    ) {
        let now = Instant::now();
        match work {
            Work::Tuned | Work::Quick => {
                self.tried = Some(records);
                self.ended = now;
                self.is_unfinished &= work == Work::Quick;
            }
            Work::Unlearn if is_done => self.may_unlearn_at = now + took,
            Work::Unlearn => {}
        }
        // Without a model, a training is what erased users need.
        let is_for_erased = work == Work::Unlearn || state.models.generation() == 0;
        if !is_done && is_for_erased {
            self.may_unlearn_at = now + RETRY.max(took);
        }
    }

    /// Notes how much of the log a model was trained on that another server has trained.
    pub(super) fn note_elsewhere(&mut self, tried: Option<u64>) {
        if tried > self.tried {
            self.tried = tried;
            self.ended = Instant::now();
            self.is_unfinished = false;
        }
    }

    /// What should start by itself.
    ///
    /// Erased users are unlearned at once, but that takes at most half of the time, and where it
    /// failed it waits before it is tried again. A young store, before its first scheduled training,
    /// trains whenever its log has doubled and is quiet. The first model is trained without tuning. A
    /// training that was stopped begins again at once.
    pub(super) fn due(
        &self,
        state: &State,
        options: &TrainOptions,
        records: u64,
        is_quiet: bool,
    ) -> Option<Work> {
        let has_model = state.models.generation() > 0;
        let training = if has_model { Work::Tuned } else { Work::Quick };
        if Instant::now() >= self.may_unlearn_at && erasure::is_owed(state) {
            return Some(if has_model { Work::Unlearn } else { training });
        }

        let before = self.tried.unwrap_or(0);
        let grown = records.saturating_sub(before);
        if !options.automatic || state.live.events() == 0 {
            return None;
        }
        if self.is_unfinished && has_model && options.tune {
            return Some(Work::Tuned);
        }
        if grown == 0 {
            return None;
        }

        let since = self.ended.elapsed();
        let interval = Duration::from_secs(options.every_minutes * 60);
        let by_time = !interval.is_zero() && since >= interval;
        let by_growth = options.new_events > 0 && grown >= options.new_events;
        let by_doubling = is_quiet && grown >= before;
        (by_time || by_growth || by_doubling).then_some(training)
    }
}
