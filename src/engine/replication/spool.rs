//! What a follower has shown, on its way to the server that writes. It waits in memory while that server is
//! away, and is sent in numbered batches, so that one that was sent twice counts once.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::source::MAX_EXPOSURES;
use crate::store::Exposure;

/// Maximum number of bytes that wait; the oldest batches leave.
const MAX_BYTES: usize = 64 << 20;

/// Exposures as they are sent.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its number, from 1 on; a follower's later batches have higher ones.
    pub sequence: u64,
    /// The exposures, in postcard's format.
    pub exposures: Arc<[u8]>,
    len: usize,
}

impl Batch {
    /// Number of exposures.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The batches that wait.
#[derive(Debug, Default)]
pub(super) struct Spool(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    bytes: usize,
    last_sequence: u64,
}

impl Spool {
    /// Adds exposures; returns the number of those that left for lack of room.
    pub(super) fn add(&self, exposures: &[Exposure<'_>]) -> usize {
        let mut waiting = self.0.lock();
        for chunk in exposures.chunks(MAX_EXPOSURES) {
            let bytes = postcard::to_extend(chunk, Vec::new())
                .unwrap_or_else(|e| unreachable!("postcard into a Vec: {e}"));
            waiting.last_sequence += 1;
            waiting.bytes += bytes.len();
            let sequence = waiting.last_sequence;
            waiting.batches.push_back(Batch {
                sequence,
                exposures: bytes.into(),
                len: chunk.len(),
            });
        }

        let mut lost = 0;
        while waiting.bytes > MAX_BYTES {
            let Some(oldest) = waiting.batches.pop_front() else { break };
            waiting.bytes -= oldest.exposures.len();
            lost += oldest.len;
        }
        lost
    }

    /// The batch to send next.
    pub(super) fn first(&self) -> Option<Batch> {
        self.0.lock().batches.front().cloned()
    }

    /// Removes a batch that has arrived, or can never be taken.
    pub(super) fn remove(&self, sequence: u64) {
        let mut waiting = self.0.lock();
        let is_first = waiting.batches.front().is_some_and(|first| first.sequence == sequence);
        if let Some(first) = is_first.then(|| waiting.batches.pop_front()).flatten() {
            waiting.bytes -= first.exposures.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(items: usize) -> Exposure<'static> {
        Exposure {
            user: None,
            recommendation_id: 1,
            time_ms: 1,
            generation: 1,
            placement: "home".into(),
            variant: "".into(),
            items: vec![1; items],
            sources: vec![1; items],
            propensities: Vec::new(),
            session: 0,
            teams: Vec::new(),
        }
    }

    #[test]
    fn batches_wait_in_their_order_until_they_are_taken() {
        let spool = Spool::default();
        assert_eq!(spool.add(&vec![shown(1); MAX_EXPOSURES + 1]), 0);
        let first = spool.first().unwrap();
        assert_eq!((first.sequence, first.len), (1, MAX_EXPOSURES));
        spool.remove(2);
        assert_eq!(spool.first().unwrap().sequence, 1);
        spool.remove(1);
        spool.remove(1);
        let second = spool.first().unwrap();
        let read: Vec<Exposure<'_>> = postcard::from_bytes(&second.exposures).unwrap();
        assert_eq!((second.sequence, read), (2, vec![shown(1)]));
    }

    #[test]
    fn the_oldest_leave_where_there_is_no_room() {
        let spool = Spool::default();
        let many = vec![shown(5_000); 600];
        let mut lost = 0;
        for _ in 0..20 {
            lost += spool.add(&many);
        }
        assert!(lost > 0 && lost % 600 == 0, "{lost}");
        assert_eq!(spool.first().unwrap().sequence, lost as u64 / 600 + 1);
        assert!(spool.0.lock().bytes <= MAX_BYTES);
    }
}
