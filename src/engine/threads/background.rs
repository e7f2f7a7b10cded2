//! The background threads, for training and batches, below requests in priority.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::domain::{Error, Result};

/// The niceness of background threads, relative to request threads.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 15;

/// Creates a pool of `threads` threads, 0 for one per core.
///
/// # Errors
/// [`Error::Training`] where the system creates no threads.
pub(super) fn pool(threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("background-{i}"))
        .start_handler(|_| step_back())
        .build()
        .map_err(|e| Error::Training(format!("the background threads do not start: {e}").into()))
}

/// Lowers the priority of the calling thread, where the system supports it.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "background work has the priority of requests");
    }
}
