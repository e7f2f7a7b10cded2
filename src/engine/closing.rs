//! How a store begins to close: async work waits for the signal, CPU-bound work polls the flag.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Whether the store closes.
#[derive(Debug, Default)]
pub(super) struct Closing {
    begun: watch::Sender<bool>,
    /// The same for work that polls between its steps.
    flag: AtomicBool,
}

impl Closing {
    pub(super) fn begin(&self) {
        self.begun.send_replace(true);
        self.flag.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    pub(super) fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// The outcome of `work`, or none once closing begins.
    pub(super) async fn unless_begun<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut begun = self.begun.subscribe();
        tokio::select! {
            _ = begun.wait_for(|&begun| begun) => None,
            done = work => Some(done),
        }
    }
}
