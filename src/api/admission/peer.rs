//! The client of a connection: what its address holds, and what the connection is doing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::access::Usage;
use crate::access::usage::{Counted, Entered};

/// A connection's client; an extension of its requests.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The network that its address belongs to.
    pub address: IpAddr,
    /// What runs for all connections from the same address.
    pub usage: Arc<Usage>,
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
    /// Bytes of messages received so far.
    received: AtomicU64,
    /// Whether a request was let in.
    accepted: AtomicBool,
    /// The connection's place among those of the key that was used on it first.
    of_key: Mutex<Option<Entered>>,
}

impl Default for Peer {
    fn default() -> Self {
        Self::new(Ipv4Addr::UNSPECIFIED.into(), Arc::default())
    }
}

impl Peer {
    /// The client of a new connection; `usage` counts what runs for its address.
    pub fn new(address: IpAddr, usage: Arc<Usage>) -> Self {
        Self { address, usage, activity: Arc::default() }
    }

    /// Counts the connection for a key, if it is the first on it; false where the key has `max`
    /// connections already.
    pub fn belong_to(&self, key: &Arc<Usage>, max: usize) -> bool {
        let mut of_key = self.activity.of_key.lock();
        if of_key.is_none() {
            *of_key = key.enter(Counted::Connections, max);
        }
        of_key.is_some()
    }

    /// Notes that a request was let in.
    pub fn accept(&self) {
        self.activity.accepted.store(true, Ordering::Relaxed);
    }

    /// Whether one ever was.
    pub fn is_accepted(&self) -> bool {
        self.activity.accepted.load(Ordering::Relaxed)
    }

    /// Notes bytes of a message.
    pub fn receive(&self, bytes: usize) {
        self.activity.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of messages received, and answer frames taken, so far.
    pub fn exchanged(&self) -> (u64, u64) {
        let Activity { received, taken, .. } = &*self.activity;
        (received.load(Ordering::Relaxed), taken.load(Ordering::Relaxed))
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
