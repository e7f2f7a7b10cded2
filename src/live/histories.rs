//! Each shopper's newest events, in time order. Events and not aggregates: a
//! half-life, which every snapshot chooses for itself, cannot be undone.
//! Impressions are not kept: they say nothing of taste.

use parking_lot::RwLock;

use crate::domain::history::remember;
use crate::domain::{EventKind, HistoryEvent, ItemIdx, UserIdx};

/// Users share this many locks, so that a write holds up few readers.
const SHARDS: usize = 64;

/// The histories of all shoppers.
#[derive(Debug)]
pub struct Histories {
    shards: Vec<RwLock<Vec<Vec<HistoryEvent>>>>,
    limit: usize,
}

impl Histories {
    /// How many events of a shopper are kept.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Keeps the newest `limit` events of each shopper.
    pub fn new(limit: usize) -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), limit }
    }

    /// Adds an event at its place in time, behind those of the same moment.
    /// Says whether it is the first that speaks for this item.
    pub fn record(&self, user: UserIdx, event: HistoryEvent) -> bool {
        if event.kind == EventKind::Impression {
            return false;
        }
        let (shard, slot) = place(user);
        let mut shard = self.shards[shard].write();
        if slot >= shard.len() {
            shard.resize_with(slot + 1, Vec::new);
        }
        let history = &mut shard[slot];
        let first = speaks(&event) && !history.iter().any(|e| e.item == event.item && speaks(e));
        remember(history, event, self.limit);
        first
    }

    /// Forgets what a shopper did; returns the items that it spoke for.
    pub fn erase(&self, user: UserIdx) -> Vec<ItemIdx> {
        let (shard, slot) = place(user);
        let history = self.shards[shard].write().get_mut(slot).map(std::mem::take);
        let speaking = history.unwrap_or_default().into_iter().filter(speaks);
        let mut items: Vec<ItemIdx> = speaking.map(|event| event.item).collect();
        items.sort_unstable();
        items.dedup();
        items
    }

    /// What `ask` says of a shopper's events, oldest first.
    pub fn of<T>(&self, user: UserIdx, ask: impl FnOnce(&[HistoryEvent]) -> T) -> T {
        let (shard, slot) = place(user);
        ask(self.shards[shard].read().get(slot).map_or(&[], Vec::as_slice))
    }

    /// Copies a shopper's events, oldest first, to the end of `events`.
    pub fn read(&self, user: UserIdx, events: &mut Vec<HistoryEvent>) {
        let (shard, slot) = place(user);
        if let Some(history) = self.shards[shard].read().get(slot) {
            events.extend_from_slice(history);
        }
    }
}

fn speaks(event: &HistoryEvent) -> bool {
    event.kind != EventKind::Refund
}

fn place(user: UserIdx) -> (usize, usize) {
    (user as usize % SHARDS, user as usize / SHARDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_events_go_where_they_belong_and_the_oldest_leave() {
        let event = |item, time_ms| HistoryEvent::new(EventKind::View, item, time_ms);
        let histories = Histories::new(3);
        assert!(histories.record(70, event(1, 10)));
        assert!(histories.record(70, event(2, 30)));
        assert!(histories.record(70, event(3, 20)));
        assert!(!histories.record(70, event(1, 30)));
        let mut events = Vec::new();
        histories.read(70, &mut events);
        assert_eq!(events.iter().map(|e| e.item).collect::<Vec<_>>(), [3, 2, 1]);
        histories.read(6, &mut events);
        assert_eq!(events.len(), 3);
        assert_eq!((histories.erase(70), histories.erase(6)), (vec![1, 2, 3], vec![]));
        events.clear();
        histories.read(70, &mut events);
        assert!(events.is_empty());
    }

    #[test]
    fn views_leave_before_purchases_and_impressions_do_not_come() {
        let histories = Histories::new(2);
        let event = |kind, item, time_ms| HistoryEvent::new(kind, item, time_ms);
        assert!(histories.record(0, event(EventKind::Purchase, 1, 1)));
        assert!(!histories.record(0, event(EventKind::Impression, 9, 2)));
        for time in 3..9 {
            histories.record(0, event(EventKind::View, 7, time));
        }
        let mut events = Vec::new();
        histories.read(0, &mut events);
        assert_eq!(events.iter().map(|e| e.item).collect::<Vec<_>>(), [1, 7]);
    }
}
