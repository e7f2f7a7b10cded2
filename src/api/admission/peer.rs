//! What is known of the client at the other end of a connection: what its address holds, and what
//! the connection is at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A connection's client; an extension of its requests.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Bytes of requests that are held for all connections from the same address.
    pub held: Arc<AtomicUsize>,
    activity: Arc<Activity>,
}

/// What a connection is at.
#[derive(Debug, Default)]
struct Activity {
    /// Requests that ever began.
    requests: AtomicU64,
    /// Requests that are not answered to their end.
    open: AtomicUsize,
    /// Answers that are made and not taken.
    unsent: AtomicUsize,
    /// How often a part of an answer was taken.
    taken: AtomicU64,
}

impl Peer {
    /// A new connection's, from an address for which so much is held.
    pub fn new(held: Arc<AtomicUsize>) -> Self {
        Self { held, activity: Arc::default() }
    }

    /// A request begins; it is open until what is returned is dropped.
    pub fn begin(&self) -> Open {
        self.activity.requests.fetch_add(1, Ordering::Relaxed);
        self.activity.open.fetch_add(1, Ordering::Relaxed);
        Open(self.activity.clone())
    }

    /// How many requests ever began, and whether any is open.
    pub fn requests(&self) -> (u64, bool) {
        let Activity { requests, open, .. } = &*self.activity;
        (requests.load(Ordering::Relaxed), open.load(Ordering::Relaxed) > 0)
    }
}

impl Peer {
    /// How often a part of an answer was taken; none while no answer waits for that.
    pub fn taken(&self) -> Option<u64> {
        let waits = self.activity.unsent.load(Ordering::Relaxed) > 0;
        waits.then(|| self.activity.taken.load(Ordering::Relaxed))
    }
}

/// An answer that is made, until it is taken or dropped.
#[derive(Debug)]
pub struct Unsent(Arc<Activity>);

impl Unsent {
    /// A part of it is taken.
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
    /// Its answer is made.
    pub fn unsent(&self) -> Unsent {
        self.0.unsent.fetch_add(1, Ordering::Relaxed);
        Unsent(self.0.clone())
    }
}

/// A request that is not answered to its end.
#[derive(Debug)]
pub struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
