//! The threads that the stores of one process share.
//!
//! - [`requests`]: lists that must be blended
//! - `background`: trainings and batches, below requests in priority
//! - [`turns`]: which store trains next

mod background;
pub(super) mod requests;
pub(super) mod turns;

use std::sync::Arc;

use rayon::ThreadPool;

use crate::domain::{Error, Result};
use requests::RequestThreads;
use turns::TrainingTurns;

/// The threads of a process, for all of its stores. Clones share them.
#[derive(Debug, Clone)]
pub struct Threads {
    pub(super) requests: Arc<RequestThreads>,
    pub(super) background: Arc<ThreadPool>,
    pub(super) turns: Arc<TrainingTurns>,
}

impl Threads {
    /// Lists that wait for a request thread or run on one.
    pub fn waiting_requests(&self) -> usize {
        self.requests.waiting()
    }

    /// Starts a request thread for each core, and `background` background threads, 0 for one per
    /// core.
    ///
    /// # Errors
    /// [`crate::domain::Error::Training`] where the system creates no threads.
    pub fn start(background: usize) -> Result<Self> {
        Ok(Self {
            requests: Arc::new(RequestThreads::start()?),
            background: Arc::new(background::pool(background)?),
            turns: Arc::default(),
        })
    }
}

/// Runs work on a thread that may block.
///
/// # Errors
/// Those of the work; [`Error::Storage`] where it panics.
pub async fn wait_for<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Storage(error.into()))?
}
