//! What the engine counts for its operator: events, lists, candidates, trainings.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use crate::domain::{EventKind, now_ms};
use crate::model::Source;
use crate::telemetry::latency;

/// The counts of one store since it was opened.
#[derive(Debug)]
pub struct Stats {
    /// Recorded events, by kind.
    pub events: [Counter; EventKind::ALL.len()],
    /// Events left out because their event id was known.
    pub duplicates: Counter,
    /// Seconds from the arrival of a write until the next list follows it.
    pub effect: Histogram,
    /// Seconds of one flush of the log.
    pub flush: Histogram,
    /// Personalised lists, by how they were made.
    pub lists: [Counter; Made::ALL.len()],
    /// Candidates that sources proposed to blended lists, by source.
    pub candidates: [Counter; Source::BLENDED.len()],
    /// Answers recorded as shown.
    pub exposures: Counter,
    /// Answers that were not recorded, because the queue was full or a write failed.
    pub exposures_lost: Counter,
    /// Ended trainings, by outcome.
    pub trainings: [Counter; Outcome::ALL.len()],
    /// End of the last training that published a model, in milliseconds since 1970; 0 before.
    trained_ms: AtomicI64,
    log_damaged: AtomicBool,
}

/// How a personalised list was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// When the model was trained.
    Prepared,
    /// From all sources, at the request.
    Blended,
    /// From all sources, without the second stage, because the deadline was near.
    Reduced,
    /// For a user unknown to the model: from what is taken now.
    Cold,
    /// From one source that the request names.
    Single,
    /// Without a model, from live counts.
    Live,
}

impl Made {
    /// Every way.
    pub const ALL: [Made; 6] =
        [Made::Prepared, Made::Blended, Made::Reduced, Made::Cold, Made::Single, Made::Live];

    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Made::Prepared => "prepared",
            Made::Blended => "blended",
            Made::Reduced => "reduced",
            Made::Cold => "cold",
            Made::Single => "single",
            Made::Live => "live",
        }
    }
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its model was published.
    Succeeded,
    /// It ended without a model.
    Failed,
    /// It was held back, because the data is broken.
    Held,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 3] = [Outcome::Succeeded, Outcome::Failed, Outcome::Held];

    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::Held => "held",
        }
    }
}

impl Stats {
    /// Counts of 0; `flush` is the log's own.
    pub(super) fn new(flush: Histogram) -> Self {
        Self {
            events: Default::default(),
            duplicates: Counter::default(),
            effect: latency::histogram(),
            flush,
            lists: Default::default(),
            candidates: Default::default(),
            exposures: Counter::default(),
            exposures_lost: Counter::default(),
            trainings: Default::default(),
            trained_ms: AtomicI64::new(0),
            log_damaged: AtomicBool::new(false),
        }
    }

    /// Notes that the log is damaged in a part that was not read at the start.
    pub(super) fn note_log_damaged(&self) {
        self.log_damaged.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn is_log_damaged(&self) -> bool {
        self.log_damaged.load(Ordering::Relaxed)
    }

    /// Counts a recorded event.
    pub(super) fn note_event(&self, kind: EventKind) {
        self.events[kind as usize].inc();
    }

    /// Counts a list.
    pub(super) fn note_list(&self, made: Made) {
        self.lists[made as usize].inc();
    }

    /// Counts the candidates of a blended list.
    pub(super) fn note_candidates(&self, proposed: impl Iterator<Item = usize>) {
        for (count, proposed) in self.candidates.iter().zip(proposed) {
            count.inc_by(proposed as u64);
        }
    }

    /// Counts a training that ends now.
    pub(super) fn note_training(&self, outcome: Outcome) {
        self.trainings[outcome as usize].inc();
        if outcome == Outcome::Succeeded {
            self.trained_ms.store(now_ms(), Ordering::Relaxed);
        }
    }

    /// End of the last training that published a model, in milliseconds since 1970; 0 before.
    pub fn trained_ms(&self) -> i64 {
        self.trained_ms.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_counts() {
        assert!(Made::ALL.iter().enumerate().all(|(at, made)| *made as usize == at));
        assert!(Outcome::ALL.iter().enumerate().all(|(at, outcome)| *outcome as usize == at));
        assert!(EventKind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
    }
}
