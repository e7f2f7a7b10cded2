//! The thread that compiles rules again, and holds the models that placements name, within seconds of a
//! change that concerns them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::state::State;
use crate::domain::{Error, Result};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// The thread rests this many times as long as compiling took.
const REST: u32 = 20;

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Refresher {
    closing: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Refresher {
    pub(super) fn start(state: Arc<State>) -> Result<Self> {
        let closing = Arc::new((Mutex::new(false), Condvar::new()));
        let of_thread = closing.clone();
        let thread = std::thread::Builder::new()
            .name("rules".into())
            .spawn(move || refresh_all(&of_thread, &state))
            .map_err(|e| Error::Storage(format!("the rules' thread does not start: {e}").into()))?;
        Ok(Self { closing, thread: Some(thread) })
    }
}

fn refresh_all(closing: &(Mutex<bool>, Condvar), state: &State) {
    let (is_closing, changed) = closing;
    let mut rest = INTERVAL;
    let mut guard = is_closing.lock();
    while !*guard {
        changed.wait_for(&mut guard, rest);
        if *guard {
            return;
        }
        let started = Instant::now();
        let placements = state.in_force.placements();
        let named = placements.placements.iter().filter_map(|placement| placement.generation);
        state.pinned.hold(&named.collect::<Vec<_>>(), &state.models);
        if let Err(error) = state.in_force.refresh(&state.live) {
            tracing::error!(%error, "rules are not up to date");
        }
        rest = INTERVAL.max(started.elapsed() * REST);
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        *self.closing.0.lock() = true;
        self.closing.1.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the rules' thread panicked");
        }
    }
}
