//! Reads what a start has not read of the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::state::State;
use crate::domain::Offset;
use crate::store;
use crate::store::priority::{Pace, step_back};

/// The thread that reads the files of the log that a checkpoint stands for, so that damage in them is seen. Dropping
/// it ends it.
#[derive(Debug)]
pub(super) struct LogCheck {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LogCheck {
    /// Starts to read the files before the offset `until`, at a tenth of one core.
    pub(super) fn start(state: Arc<State>, until: Offset) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let of_thread = is_over.clone();
        let check = move || {
            step_back();
            let is_over = || of_thread.load(Ordering::Relaxed);
            match store::check(&state.folder.log(), until, &Pace::gentle(), is_over) {
                Ok(()) if is_over() => {}
                Ok(()) => tracing::info!(until, "the log's files before the checkpoint are whole"),
                Err(error) => {
                    state.stats.note_log_damaged();
                    tracing::error!(%error, "the log is damaged before the checkpoint");
                }
            }
        };
        let thread = std::thread::Builder::new().name("log-check".to_owned()).spawn(check);
        if let Err(error) = &thread {
            tracing::warn!(%error, "the log's files before the checkpoint are not checked");
        }
        Self { is_over, thread: thread.ok() }
    }
}

impl Drop for LogCheck {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that checks the log panicked");
        }
    }
}
