//! A thread that does something again and again.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::domain::{Error, Result};

/// The thread. Dropping it ends it, after the work that it is at.
#[derive(Debug)]
pub(super) struct Periodic {
    name: &'static str,
    closing: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Periodic {
    /// Starts a thread that does `work`, rests for `interval` or `rest` times as long as the work took,
    /// whichever is longer, and begins again.
    pub(super) fn start(
        name: &'static str,
        (interval, rest): (Duration, u32),
        mut work: impl FnMut() + Send + 'static,
    ) -> Result<Self> {
        let closing = Arc::new((Mutex::new(false), Condvar::new()));
        let of_thread = closing.clone();
        let run = move || {
            let (is_closing, changed) = &*of_thread;
            let mut wait = interval;
            loop {
                let mut guard = is_closing.lock();
                if !*guard {
                    changed.wait_for(&mut guard, wait);
                }
                if *guard {
                    return;
                }
                drop(guard);

                let started = Instant::now();
                work();
                wait = interval.max(started.elapsed() * rest);
            }
        };

        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|error| {
            Error::Storage(format!("the thread \"{name}\" does not start: {error}").into())
        })?;
        Ok(Self { name, closing, thread: Some(thread) })
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        *self.closing.0.lock() = true;
        self.closing.1.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(thread = self.name, "the thread panicked");
        }
    }
}
