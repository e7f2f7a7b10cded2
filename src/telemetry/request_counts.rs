//! Requests of one store by method and code. They are part of the store, so that a store that is
//! deleted leaves no counts behind.

use std::sync::atomic::{AtomicU64, Ordering};

/// Number of gRPC codes.
pub const CODES: usize = 17;

/// Methods that are counted separately, at most.
pub const MAX_METHODS: usize = 88;

/// A count for each method and code.
#[derive(Debug)]
pub struct RequestCounts {
    /// The name of the store; empty for requests of none.
    pub store: String,
    counts: Box<[[AtomicU64; CODES]]>,
}

impl RequestCounts {
    /// Counts of 0 of a store.
    pub fn new(store: &str) -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { store: store.to_owned(), counts: (0..MAX_METHODS).map(|_| zeros()).collect() }
    }

    /// Counts a request; an unknown method or code is ignored.
    pub fn note(&self, method: usize, code: usize) {
        if let Some(count) = self.counts.get(method).and_then(|codes| codes.get(code)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every count that is not 0, as (method, code, count).
    pub fn all(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        let of_method = |(method, codes): (usize, &[AtomicU64; CODES])| {
            let counts = codes.each_ref().map(|count| count.load(Ordering::Relaxed));
            counts.into_iter().enumerate().map(move |(code, count)| (method, code, count))
        };
        self.counts.iter().enumerate().flat_map(of_method).filter(|&(_, _, count)| count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_counted() {
        let counts = RequestCounts::new("shop");
        for (method, code) in [(1, 0), (1, 0), (0, 16), (MAX_METHODS, 0), (0, 17)] {
            counts.note(method, code);
        }
        assert_eq!(counts.all().collect::<Vec<_>>(), [(0, 16, 1), (1, 0, 2)]);
    }
}
