//! What runs at this moment for one address, one key or one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A thing that is counted while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Connections; of a key those on which it was used first.
    Connections,
    /// Unary requests that are being answered.
    Requests,
    /// Requests with a stream of messages in either direction.
    Streams,
    /// Health checks, which need no key.
    Health,
    /// Requests that take long or much: models and stores that are read, built or compared.
    Work,
    /// Bytes of requests and of answers that wait.
    Bytes,
}

/// The numbers of one address, key or store.
#[derive(Debug, Default)]
pub struct Usage([AtomicUsize; 6]);

impl Usage {
    fn of(&self, counted: Counted) -> &AtomicUsize {
        &self.0[counted as usize]
    }

    /// The number at this moment.
    pub fn now(&self, counted: Counted) -> usize {
        self.of(counted).load(Ordering::Relaxed)
    }

    /// Adds, and returns the new number.
    pub fn add(&self, counted: Counted, n: usize) -> usize {
        self.of(counted).fetch_add(n, Ordering::Relaxed) + n
    }

    /// Subtracts what was added.
    pub fn subtract(&self, counted: Counted, n: usize) {
        self.of(counted).fetch_sub(n, Ordering::Relaxed);
    }

    /// Adds one until the returned guard is dropped; none where there are `max` already.
    pub fn enter(self: &Arc<Self>, counted: Counted, max: usize) -> Option<Entered> {
        let entered = Entered { usage: self.clone(), counted };
        (self.add(counted, 1) <= max).then_some(entered)
    }
}

/// One of what is counted, until it is dropped.
#[derive(Debug)]
pub struct Entered {
    usage: Arc<Usage>,
    counted: Counted,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.usage.subtract(self.counted, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_are_inside() {
        let usage = Arc::new(Usage::default());
        let first = usage.enter(Counted::Streams, 1).unwrap();
        assert!(usage.enter(Counted::Streams, 1).is_none());
        assert!(usage.enter(Counted::Requests, 1).is_some(), "another count");
        drop(first);
        assert!(usage.enter(Counted::Streams, 1).is_some());
        assert_eq!(usage.now(Counted::Streams), 0);
    }
}
