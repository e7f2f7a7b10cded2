//! A user's past as the methods read it: events with dense ids, without the strings that only the
//! log needs.

use serde::{Deserialize, Serialize};

use super::{DAY_MS, EventKind, ItemIdx, Price};

/// One event of a user's history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryEvent {
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// The item.
    pub item: ItemIdx,
    /// Number of items.
    pub quantity: f32,
    /// Hash of the basket's id; 0 where there is none.
    pub basket: u32,
    /// Price of one.
    pub price: Price,
    /// The kind.
    pub kind: EventKind,
    /// Number of its channel; 0 where there is none.
    pub channel: u8,
}

// Every user has up to 2,000 of them.
const _: () = assert!(size_of::<HistoryEvent>() == 24);

impl HistoryEvent {
    /// An event of one item, without a basket and a price.
    pub fn new(kind: EventKind, item: ItemIdx, time_ms: i64) -> Self {
        Self { time_ms, item, quantity: 1.0, basket: 0, price: Price::default(), kind, channel: 0 }
    }

    /// The key of its step in time: its basket, or without one its moment.
    pub fn moment(&self) -> (u32, i64) {
        if self.basket == 0 { (0, self.time_ms) } else { (self.basket, 0) }
    }

    /// The key of what was bought together: its basket, or without one its day.
    pub fn together(&self) -> (u32, i64) {
        if self.basket == 0 { (0, self.time_ms / DAY_MS) } else { (self.basket, 0) }
    }
}

/// Whether two events that follow each other are one step: of one basket or, without baskets, of one
/// moment. Items of the running session, whose time is `now_ms`, come one by one.
pub fn is_one_step(a: &HistoryEvent, b: &HistoryEvent, now_ms: i64) -> bool {
    a.moment() == b.moment() && b.time_ms != now_ms
}

/// Inserts an event by time, after those of the same moment. Beyond `limit`, the least informative
/// event leaves and is returned: the oldest that is no purchase or refund, so that many views do
/// not displace purchases; otherwise the oldest.
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

/// Purchases and refunds of one item by one user, summed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bought {
    /// The item.
    pub item: ItemIdx,
    /// The last purchase, in milliseconds since 1970; [`i64::MIN`] where only refunds are known.
    pub last_ms: i64,
    /// Number bought minus number returned.
    net: f64,
    refunded: bool,
}

impl Bought {
    /// The contribution of one event; none for other kinds.
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

    /// Adds another contribution for the same item.
    pub fn add(&mut self, other: &Self) {
        self.last_ms = self.last_ms.max(other.last_ms);
        self.net += other.net;
        self.refunded |= other.refunded;
    }

    /// Whether refunds returned at least as many as purchases bought.
    pub fn is_taken_back(&self) -> bool {
        self.refunded && self.net <= 0.0
    }

    /// Whether the user bought it and has not returned all of it.
    pub fn stands(&self) -> bool {
        self.last_ms > i64::MIN && !self.is_taken_back()
    }
}

/// Writes into `bought` the purchases in a history and in events that `left` it, by item.
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

/// The items that a user bought and has not returned, ascending.
pub fn standing(history: &[HistoryEvent]) -> Vec<ItemIdx> {
    let mut bought = Vec::new();
    all_bought(history, &[], &mut bought);
    bought.iter().filter(|bought| bought.stands()).map(|bought| bought.item).collect()
}

/// A user's past as live state keeps it: the newest events, and the purchases of those that left.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Past {
    /// The newest events, oldest first.
    pub events: Vec<HistoryEvent>,
    /// Purchases in events that left, by item.
    pub bought: Vec<Bought>,
}

impl Past {
    /// The past of events in their order, of which `limit` are kept.
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

/// Adds the purchase in an event that left a history; `bought` is ordered by item.
pub fn note_left(bought: &mut Vec<Bought>, left: &HistoryEvent) {
    if let Some(trade) = Bought::of(left) {
        note_bought(bought, trade);
    }
}

/// Adds purchases of an item; `bought` is ordered by item.
pub fn note_bought(bought: &mut Vec<Bought>, trade: Bought) {
    match bought.binary_search_by_key(&trade.item, |bought| bought.item) {
        Ok(at) => bought[at].add(&trade),
        Err(at) => bought.insert(at, trade),
    }
}

/// The first `max` distinct items, in their order.
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

/// The number of a basket for [`HistoryEvent::basket`].
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
        /// However short the kept history is, purchases stay known.
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
