//! Answers that were shown and wait to be recorded. No answer waits for the log; what the queue has no room
//! for is not recorded. The thread that writes records them before the next events, so that what users do
//! with an answer stands behind it in the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::store::Exposure;

/// Maximum number of exposures that wait.
const CAPACITY: usize = 20_000;
/// Waiting exposures that are written at once.
const ENOUGH: usize = 2_000;
/// Longest time that an exposure waits.
const INTERVAL: Duration = Duration::from_millis(100);

/// The queue.
#[derive(Debug, Default)]
pub(super) struct ExposureQueue {
    waiting: Mutex<Vec<Exposure<'static>>>,
    changed: Condvar,
    closing: AtomicBool,
}

impl ExposureQueue {
    /// Adds an exposure; false where there is no room.
    pub(super) fn push(&self, exposure: Exposure<'static>) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.len() == CAPACITY {
            return false;
        }
        waiting.push(exposure);
        if waiting.len() == ENOUGH {
            self.changed.notify_one();
        }
        true
    }

    /// Adds all of these, or none where there is no room; returns whether there was.
    pub(super) fn push_all(&self, exposures: Vec<Exposure<'static>>) -> bool {
        let mut waiting = self.waiting.lock();
        let fits = waiting.len() + exposures.len() <= CAPACITY;
        if fits {
            waiting.extend(exposures);
        }
        fits
    }

    /// Takes all that wait, in their order.
    pub(super) fn drain(&self) -> Vec<Exposure<'static>> {
        std::mem::take(&mut *self.waiting.lock())
    }

    /// Waits until it is time to write; false once the queue closes.
    pub(super) fn wait(&self) -> bool {
        let mut waiting = self.waiting.lock();
        let is_closing = || self.closing.load(Ordering::Acquire);
        if waiting.len() < ENOUGH && !is_closing() {
            self.changed.wait_for(&mut waiting, INTERVAL);
        }
        !is_closing()
    }

    /// Whether none wait.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// Ends the waiting.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.changed.notify_one();
    }
}
