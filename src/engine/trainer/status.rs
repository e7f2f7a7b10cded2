//! The status of a training.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::Generation;
use crate::domain::progress::Stage;

/// The state of a training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrainingState {
    /// A stage is running.
    Running(Stage),
    /// The model is published under this generation.
    Succeeded(Generation),
    /// The training ended without a model, for this reason.
    Failed(String),
}

/// A training as its watchers see it.
#[derive(Debug, Clone)]
pub struct TrainingStatus {
    /// Identifies the training.
    pub id: String,
    /// Its state.
    pub state: TrainingState,
    /// Time from its start to this report.
    pub elapsed: Duration,
    /// The time of this report.
    pub at: Instant,
    /// Estimated from the training before: time left for the stage, and for all stages after
    /// it.
    pub expected: Option<(Duration, Duration)>,
    /// Measured quality of its model, once that is published, and of the model before.
    pub quality: [BTreeMap<String, f64>; 2],
}

impl TrainingStatus {
    /// Time since the start and estimated time left, as of now.
    pub fn elapsed_and_left(&self) -> (Duration, Option<Duration>) {
        if self.has_ended() {
            return (self.elapsed, None);
        }
        let since = self.at.elapsed();
        let left = self.expected.map(|(stage, later)| stage.saturating_sub(since) + later);
        (self.elapsed + since, left)
    }

    /// Whether this is the last report of the training.
    pub fn has_ended(&self) -> bool {
        !matches!(self.state, TrainingState::Running(_))
    }
}
