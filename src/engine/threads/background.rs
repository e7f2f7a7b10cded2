//! The background threads, for training and batches, below requests in priority.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::domain::{Error, Result};
use crate::store::priority::step_back;

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
