//! The threads of CPU-bound requests: lists that must be blended, rankings. The threads that carry the
//! connections do not run them, so that a prepared list never waits for a blend.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{Semaphore, oneshot};

use crate::domain::{Error, Result};

/// Work that a thread may find in its queue. The rest waits with its caller, and ends with it.
const PLACES_PER_THREAD: usize = 4;

/// A thread for each core.
#[derive(Debug)]
pub(in crate::engine) struct RequestThreads {
    pool: ThreadPool,
    places: Arc<Semaphore>,
    /// Work that waits or runs.
    inside: AtomicUsize,
}

impl RequestThreads {
    /// # Errors
    /// [`Error::Training`] where the system creates no threads.
    pub(super) fn start() -> Result<Self> {
        let pool =
            ThreadPoolBuilder::new().thread_name(|i| format!("request-{i}")).build().map_err(
                |e| Error::Training(format!("the request threads do not start: {e}").into()),
            )?;
        let places = Arc::new(Semaphore::new(PLACES_PER_THREAD * pool.current_num_threads()));
        Ok(Self { pool, places, inside: AtomicUsize::new(0) })
    }

    /// Work that waits or runs.
    pub(super) fn waiting(&self) -> usize {
        self.inside.load(Ordering::Relaxed)
    }

    /// Returns the result of `work`, which is skipped if the caller is gone before it starts. A panic
    /// is resumed in the caller.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`] where the threads end first.
    pub(in crate::engine) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        self.inside.fetch_add(1, Ordering::Relaxed);
        let _inside = Inside(&self.inside);
        let place = self.places.clone().acquire_owned().await.map_err(|_| Error::ShuttingDown)?;
        let (sender, done) = oneshot::channel();
        self.pool.spawn(move || {
            let _place = place;
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

/// Counts work until its caller has the result, or goes.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_panic_reaches_the_caller_and_the_threads_go_on() {
        let threads = Arc::new(RequestThreads::start().unwrap());
        let others = threads.clone();

        let lost = tokio::spawn(async move { others.run(|| panic!("in the work")).await });
        let lost: Result<Result<()>, _> = lost.await;
        assert!(lost.unwrap_err().is_panic());

        assert_eq!(threads.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn work_does_not_begin_after_its_caller_has_gone() {
        let threads = RequestThreads::start().unwrap();
        let cores = threads.pool.current_num_threads();
        let busy = Arc::new(Barrier::new(cores + 1));
        for _ in 0..cores {
            let busy = busy.clone();
            threads.pool.spawn(move || {
                busy.wait();
            });
        }

        // More than there are places: some wait in the queue, some before it.
        let begun = Arc::new(AtomicBool::new(false));
        for _ in 0..2 * PLACES_PER_THREAD * cores {
            let begun = begun.clone();
            let work = threads.run(move || begun.store(true, Ordering::Relaxed));
            assert!(tokio::time::timeout(Duration::from_millis(1), work).await.is_err());
        }

        busy.wait();
        threads.run(|| ()).await.unwrap();
        assert!(!begun.load(Ordering::Relaxed));
    }
}
