//! The threads of CPU-bound requests: lists that must be blended, rankings. The threads that carry the
//! connections do not run them, so that a prepared list never waits for a blend.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

use crate::domain::{Error, Result};

/// A thread for each core. Their queue holds the requests that are admitted, and those whose callers
/// have gone until a thread reaches and skips them.
#[derive(Debug)]
pub(super) struct RequestThreads(ThreadPool);

impl RequestThreads {
    /// # Errors
    /// [`Error::Training`] where the system creates no threads.
    pub(super) fn start() -> Result<Self> {
        let pool = ThreadPoolBuilder::new().thread_name(|i| format!("request-{i}")).build();
        pool.map(Self)
            .map_err(|e| Error::Training(format!("the request threads do not start: {e}").into()))
    }

    /// Returns the result of `work`, which is skipped if the caller is gone before it starts. A panic
    /// is resumed in the caller.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`] where the threads end first.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (sender, done) = oneshot::channel();
        self.0.spawn(move || {
            if !sender.is_closed() {
                // The caller may have gone.
                let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
            }
        });

        match done.await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(Error::ShuttingDown),
        }
    }
}
