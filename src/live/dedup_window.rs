//! The deduplication window: ids of the newest events, so that a retry adds nothing. Rebuilt from
//! the log at start; used by the committer alone.

use std::collections::{HashSet, VecDeque};

use xxhash_rust::xxh3::xxh3_128;

use crate::store::{Entry, Record};

/// Number of event ids in the window; 48 bytes each, 48 MB at most.
pub const EVENT_ID_WINDOW: usize = 1_000_000;

/// Event ids, as 128-bit hashes.
#[derive(Debug, Default)]
pub struct DedupWindow {
    ids: HashSet<u128>,
    order: VecDeque<u128>,
    remembered: usize,
}

impl DedupWindow {
    /// Applies an entry of the log.
    pub fn replay(&mut self, entry: &Entry<'_>) {
        if let Entry::Record(_, Record::Event(event)) = entry {
            self.remember(event.event_id);
        }
    }

    /// Adds an event's id; false for a duplicate. Events without an id are never duplicates.
    pub fn remember(&mut self, event_id: &str) -> bool {
        if event_id.is_empty() {
            return true;
        }

        let id = xxh3_128(event_id.as_bytes());
        if !self.ids.insert(id) {
            return false;
        }

        self.order.push_back(id);
        self.remembered += 1;
        if self.order.len() > EVENT_ID_WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }

    /// The ids, oldest first, for a checkpoint.
    pub fn saved(&self) -> &VecDeque<u128> {
        &self.order
    }

    /// The window of saved ids.
    pub fn restored(order: VecDeque<u128>) -> Self {
        Self { ids: order.iter().copied().collect(), remembered: order.len(), order }
    }

    /// The number of ids added so far: a mark for [`DedupWindow::forget_since`].
    pub fn mark(&self) -> usize {
        self.remembered
    }

    /// Removes the ids added since a mark, whose write failed. (Ids that they displaced from the
    /// window stay removed.)
    pub fn forget_since(&mut self, mark: usize) {
        while self.remembered > mark {
            self.remembered -= 1;
            if let Some(newest) = self.order.pop_back() {
                self.ids.remove(&newest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_until_they_are_forgotten() {
        let mut window = DedupWindow::default();
        assert!(window.remember("a"));
        assert!(!window.remember("a"));
        assert!(window.remember("") && window.remember(""));
        let mark = window.mark();
        window.remember("b");
        window.forget_since(mark);
        assert!(window.remember("b") && !window.remember("a"));
    }

    #[test]
    fn the_window_is_bounded() {
        let mut window = DedupWindow::default();
        for i in 0..=EVENT_ID_WINDOW {
            window.remember(&i.to_string());
        }
        assert_eq!(window.ids.len(), EVENT_ID_WINDOW);
        assert!(window.remember("0"), "the oldest id has left the window");
    }
}
