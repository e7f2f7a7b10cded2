//! The client of a connection: what its address holds, and what the connection is doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A connection's client; an extension of its requests.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Bytes held for all connections from the same address.
    pub held: Arc<AtomicUsize>,
    activity: Arc<Activity>,
}

/// The activity of a connection.
#[derive(Debug, Default)]
struct Activity {
    /// Requests begun so far.
    requests: AtomicU64,
    /// Requests whose answers are not complete.
    open: AtomicUsize,
    /// Answers that wait to be taken.
    unsent: AtomicUsize,
    /// Answer frames taken so far.
    taken: AtomicU64,
}

impl Peer {
    /// The client of a new connection; `held` counts the bytes of its address.
    pub fn new(held: Arc<AtomicUsize>) -> Self {
        Self { held, activity: Arc::default() }
    }

    /// Notes that a request begins; it is open until the returned guard is dropped.
    pub fn begin(&self) -> Open {
        self.activity.requests.fetch_add(1, Ordering::Relaxed);
        self.activity.open.fetch_add(1, Ordering::Relaxed);
        Open(self.activity.clone())
    }

    /// The number of requests begun so far, and whether one is open.
    pub fn requests(&self) -> (u64, bool) {
        let Activity { requests, open, .. } = &*self.activity;
        (requests.load(Ordering::Relaxed), open.load(Ordering::Relaxed) > 0)
    }
}

impl Peer {
    /// The number of answer frames taken so far; none while no answer waits.
    pub fn taken(&self) -> Option<u64> {
        let waits = self.activity.unsent.load(Ordering::Relaxed) > 0;
        waits.then(|| self.activity.taken.load(Ordering::Relaxed))
    }
}

/// An answer that waits, until it is taken or dropped.
#[derive(Debug)]
pub struct Unsent(Arc<Activity>);

impl Unsent {
    /// Notes that a frame of it is taken.
    pub fn moves(&self) {
        self.0.taken.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.unsent.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Open {
    /// Notes that its answer waits.
    pub fn unsent(&self) -> Unsent {
        self.0.unsent.fetch_add(1, Ordering::Relaxed);
        Unsent(self.0.clone())
    }
}

/// An open request.
#[derive(Debug)]
pub struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
