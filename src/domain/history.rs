//! A shopper's past as the methods read it: events with dense ids, without
//! the strings that only the log needs.

use super::{DAY_MS, EventKind, ItemIdx, Price};

/// One event of a shopper's history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryEvent {
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// With which item.
    pub item: ItemIdx,
    /// How many.
    pub quantity: f32,
    /// Hash of the basket's id; 0 where there is none.
    pub basket: u32,
    /// What was paid for one.
    pub price: Price,
    /// What was done.
    pub kind: EventKind,
}

impl HistoryEvent {
    /// One of an item, in no basket and without a price.
    pub fn new(kind: EventKind, item: ItemIdx, time_ms: i64) -> Self {
        Self { time_ms, item, quantity: 1.0, basket: 0, price: Price::default(), kind }
    }

    /// What it was bought with: its basket, or without one everything of its moment.
    pub fn moment(&self) -> (u32, i64) {
        if self.basket == 0 { (0, self.time_ms) } else { (self.basket, 0) }
    }

    /// What it was bought together with: its basket, or without one everything of its day.
    pub fn together(&self) -> (u32, i64) {
        if self.basket == 0 { (0, self.time_ms / DAY_MS) } else { (self.basket, 0) }
    }
}

/// Adds an event at its place in time, behind those of the same moment. Where the history
/// then holds more than `limit`, what says least leaves: the oldest that is no trade, so that
/// a flood of views does not wash away what somebody bought; else the oldest.
pub fn remember(history: &mut Vec<HistoryEvent>, event: HistoryEvent, limit: usize) {
    let at = history.partition_point(|e| e.time_ms <= event.time_ms);
    history.insert(at, event);
    if history.len() > limit {
        let trade = |e: &HistoryEvent| matches!(e.kind, EventKind::Purchase | EventKind::Refund);
        let least = history.iter().position(|e| !trade(e)).unwrap_or(0);
        history.remove(least);
    }
}

/// The first `most` items that differ, in their order.
pub fn first_distinct(items: impl Iterator<Item = ItemIdx>, most: usize) -> Vec<ItemIdx> {
    let mut distinct = Vec::with_capacity(most);
    for item in items {
        if distinct.len() == most {
            break;
        }
        if !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    distinct
}

/// The basket's number for [`HistoryEvent::basket`].
pub fn basket_number(basket_id: &str) -> u32 {
    if basket_id.is_empty() {
        0
    } else {
        (xxhash_rust::xxh3::xxh3_64(basket_id.as_bytes()) as u32).max(1)
    }
}
