//! What trainers work from: the events as of a moment, and the matrices made
//! from them, one for each half-life that is asked for.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::matrix::{Interactions, UserEvents, Weighting};

/// Events and the matrices made from them.
#[derive(Debug)]
pub struct Material<'e> {
    events: &'e UserEvents,
    now_ms: i64,
    matrices: Mutex<Vec<(f64, Arc<Interactions>)>>,
}

impl<'e> Material<'e> {
    /// Works from `events`, as of the newest of them.
    pub fn new(events: &'e UserEvents) -> Self {
        Self { events, now_ms: events.newest_ms(), matrices: Mutex::default() }
    }

    /// The events.
    pub fn events(&self) -> &'e UserEvents {
        self.events
    }

    /// Time of the newest event, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The matrix with this half-life in days (0: nothing fades), made once.
    pub fn matrix(&self, half_life_days: f64) -> Arc<Interactions> {
        let mut matrices = self.matrices.lock();
        if let Some((_, made)) = matrices.iter().find(|(days, _)| *days == half_life_days) {
            return made.clone();
        }
        let weighting = Weighting { half_life_days };
        let made = Arc::new(Interactions::new(self.events, &weighting, self.now_ms));
        matrices.push((half_life_days, made.clone()));
        made
    }
}
