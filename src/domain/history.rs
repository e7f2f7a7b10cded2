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
/// then holds more than `limit`, what says least leaves, and is returned: the oldest that is no
/// trade, so that a flood of views does not wash away what somebody bought; else the oldest.
pub fn remember(
    history: &mut Vec<HistoryEvent>,
    event: HistoryEvent,
    limit: usize,
) -> Option<HistoryEvent> {
    let at = history.partition_point(|e| e.time_ms <= event.time_ms);
    history.insert(at, event);
    if history.len() <= limit {
        return None;
    }
    let trade = |e: &HistoryEvent| matches!(e.kind, EventKind::Purchase | EventKind::Refund);
    let min = history.iter().position(|e| !trade(e)).unwrap_or(0);
    Some(history.remove(min))
}

/// What a shopper bought of an item, all purchases and refunds together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bought {
    /// The item.
    pub item: ItemIdx,
    /// The last purchase, in milliseconds since 1970; [`i64::MIN`] where only refunds are known.
    pub last_ms: i64,
    /// How many were bought and not given back.
    net: f64,
    refunded: bool,
}

impl Bought {
    /// What one event says of it; none where it is no trade.
    pub fn of(event: &HistoryEvent) -> Option<Self> {
        let item = event.item;
        let quantity = f64::from(event.quantity);
        match event.kind {
            EventKind::Purchase => {
                Some(Self { item, last_ms: event.time_ms, net: quantity, refunded: false })
            }
            EventKind::Refund => {
                Some(Self { item, last_ms: i64::MIN, net: -quantity, refunded: true })
            }
            _ => None,
        }
    }

    /// Adds what else is known of the same item.
    pub fn add(&mut self, other: &Self) {
        self.last_ms = self.last_ms.max(other.last_ms);
        self.net += other.net;
        self.refunded |= other.refunded;
    }

    /// Whether refunds gave back at least as many as purchases took.
    pub fn is_taken_back(&self) -> bool {
        self.refunded && self.net <= 0.0
    }

    /// Whether the shopper has bought it and not given all of it back.
    pub fn stands(&self) -> bool {
        self.last_ms > i64::MIN && !self.is_taken_back()
    }
}

/// Writes into `bought` what a history and what `left` it before say was bought, by item.
pub fn all_bought(history: &[HistoryEvent], left: &[Bought], bought: &mut Vec<Bought>) {
    bought.clear();
    bought.extend(history.iter().filter_map(Bought::of));
    bought.extend_from_slice(left);
    bought.sort_unstable_by_key(|bought| bought.item);
    bought.dedup_by(|next, kept| {
        let same = next.item == kept.item;
        if same {
            kept.add(next);
        }
        same
    });
}

/// The items that a shopper has bought and not given back, ascending.
pub fn standing(history: &[HistoryEvent]) -> Vec<ItemIdx> {
    let mut bought = Vec::new();
    all_bought(history, &[], &mut bought);
    bought.iter().filter(|bought| bought.stands()).map(|bought| bought.item).collect()
}

/// A shopper's past as live state keeps it: the newest events, and of those that left what was
/// bought.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Past {
    /// The newest events, oldest first.
    pub events: Vec<HistoryEvent>,
    /// What was bought by events that left, by item.
    pub bought: Vec<Bought>,
}

impl Past {
    /// Of events in their order, of which `limit` are kept.
    pub fn of(events: &[HistoryEvent], limit: usize) -> Self {
        if events.len() <= limit {
            return Self { events: events.to_vec(), bought: Vec::new() };
        }
        let mut past = Self::default();
        events.iter().for_each(|&event| past.record(event, limit));
        past
    }

    fn record(&mut self, event: HistoryEvent, limit: usize) {
        if let Some(left) = remember(&mut self.events, event, limit) {
            note_left(&mut self.bought, &left);
        }
    }
}

/// Notes what an event that left a history says was bought; `bought` is in order of items.
pub fn note_left(bought: &mut Vec<Bought>, left: &HistoryEvent) {
    let Some(trade) = Bought::of(left) else { return };
    match bought.binary_search_by_key(&trade.item, |bought| bought.item) {
        Ok(at) => bought[at].add(&trade),
        Err(at) => bought.insert(at, trade),
    }
}

/// The first `most` items that differ, in their order.
pub fn first_distinct(items: impl Iterator<Item = ItemIdx>, max: usize) -> Vec<ItemIdx> {
    let mut distinct = Vec::with_capacity(max);
    for item in items {
        if distinct.len() == max {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refunds_take_purchases_back_also_those_that_left() {
        let event = |kind, item, time_ms, quantity| HistoryEvent {
            quantity,
            ..HistoryEvent::new(kind, item, time_ms)
        };
        let buy = EventKind::Purchase;
        let give_back = EventKind::Refund;
        let events = [event(buy, 1, 1, 3.0), event(buy, 2, 2, 1.0), event(give_back, 1, 3, 3.0)];
        assert_eq!(standing(&events), [2]);
        assert_eq!(standing(&events[..2]), [1, 2]);

        let past = Past::of(&events, 1);
        let mut bought = Vec::new();
        all_bought(&past.events, &past.bought, &mut bought);
        let standing: Vec<_> = bought.iter().filter(|b| b.stands()).map(|b| b.item).collect();
        assert_eq!((past.events.len(), standing), (1, vec![2]));
    }

    proptest! {
        /// However little is kept of a history, what was bought stays bought.
        #[test]
        fn a_limit_forgets_no_purchase(
            log in prop::collection::vec((0u32..9, 0usize..8, 0i64..50, 1u8..4), 0..60),
            limit in 1usize..12,
        ) {
            let mut events: Vec<HistoryEvent> = log
                .into_iter()
                .map(|(item, kind, time_ms, quantity)| HistoryEvent {
                    quantity: quantity.into(),
                    ..HistoryEvent::new(EventKind::ALL[kind], item, time_ms)
                })
                .collect();

            let past = Past::of(&events, limit);
            prop_assert!(past.events.len() <= limit);
            let mut bought = Vec::new();
            all_bought(&past.events, &past.bought, &mut bought);
            let mut kept: Vec<_> = bought.iter().filter(|b| b.stands()).map(|b| (b.item, b.last_ms)).collect();
            events.sort_by_key(|e| e.time_ms);
            let mut whole = Vec::new();
            all_bought(&events, &[], &mut whole);
            let mut all: Vec<_> = whole.iter().filter(|b| b.stands()).map(|b| (b.item, b.last_ms)).collect();
            kept.sort_unstable();
            all.sort_unstable();
            prop_assert_eq!(kept, all);
        }
    }
}
