//! Rows and orders that repeat others, and orders whose rows are days apart.

use ahash::AHashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::examined::{Examined, Sighting};
use super::finding::{Finding, Kind};
use super::times::Tally;
use crate::domain::{DAY_MS, EventKind};

/// Rows of an order from which on a second one like it is no coincidence.
const ROWS: u32 = 3;
/// Time within which a second order like the first is a repetition of it.
const SOON_MS: i64 = 3_600_000;
/// Repeated rows that are coincidence.
const FEW_REPEATS: u64 = 5;
/// Repeated and scattered orders that are noise: a share of all.
const NOISE: f64 = 0.001;

/// Orders that are kept; where there are more, those of half of the users are dropped.
const MAX_ORDERS: usize = 1_000_000;

/// What is noted about rows and orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    repeats: Tally,
    orders: AHashMap<u64, Order>,
    /// Orders of one user in `2^sampled` are looked at.
    sampled: u32,
}

#[derive(Debug)]
struct Order {
    user: u64,
    /// The sum of the hashes of its rows, whatever their order.
    content: u64,
    rows: u32,
    first_ms: i64,
    last_ms: i64,
    first: Sighting,
}

impl Orders {
    pub(super) fn note(&mut self, event: &Examined<'_>) {
        if event.repeats {
            self.repeats.note(event);
        }
        if event.basket.is_empty() || event.kind != EventKind::Purchase {
            return;
        }

        let user = xxh3_64(event.user.as_bytes());
        if user.trailing_zeros() < self.sampled {
            return;
        }
        let row = xxh3_64(event.item.as_bytes()).wrapping_add(event.quantity.to_bits());
        let row = xxh3_64(&row.to_le_bytes());
        let key = user ^ xxh3_64(event.basket.as_bytes()).rotate_left(1);
        let order = self.orders.entry(key).or_insert_with(|| Order {
            user,
            content: 0,
            rows: 0,
            first_ms: event.time_ms,
            last_ms: event.time_ms,
            first: Sighting::of(event),
        });
        order.content = order.content.wrapping_add(row);
        order.rows += 1;
        order.first_ms = order.first_ms.min(event.time_ms);
        order.last_ms = order.last_ms.max(event.time_ms);

        if self.orders.len() > MAX_ORDERS {
            self.sampled += 1;
            let sampled = self.sampled;
            self.orders.retain(|_, order| order.user.trailing_zeros() >= sampled);
        }
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        let Tally { events, example } = &self.repeats;
        if *events > FEW_REPEATS {
            found.push(Finding {
                kind: Kind::Duplicate,
                what: format!("{events} rows repeat another in everything"),
                events: *events,
                example: example.clone(),
                effect: "what was exported or sent twice counts twice",
                mend: "leave them out with --drop-duplicates; send events with an event_id"
                    .to_owned(),
            });
        }
        found.extend(self.repeated_orders());
        found.extend(self.scattered_orders());
        found
    }

    /// Orders of a user that equal one of theirs shortly before.
    fn repeated_orders(&self) -> Option<Finding> {
        let mut orders: Vec<&Order> = self.orders.values().filter(|o| o.rows >= ROWS).collect();
        orders.sort_by_key(|order| (order.user, order.content, order.rows, order.first_ms));
        let is_repeat = |pair: &&[&Order]| {
            let (one, next) = (pair[0], pair[1]);
            (one.user, one.content, one.rows) == (next.user, next.content, next.rows)
                && next.first_ms - one.first_ms <= SOON_MS
        };
        let repeats: Vec<&Order> =
            orders.windows(2).filter(is_repeat).map(|pair| pair[1]).collect();
        let first = self.beyond_noise(&repeats)?;
        Some(Finding {
            kind: Kind::DuplicateOrder,
            what: format!(
                "{}{} orders repeat one of the same user within an hour",
                self.at_least(),
                repeats.len()
            ),
            events: repeats.iter().map(|order| u64::from(order.rows)).sum(),
            example: first.first.shown(),
            effect: "an order that was sent again under another number counts twice",
            mend: "send the events of an order with event_ids that a retry repeats".to_owned(),
        })
    }

    /// Orders whose rows are more than a day apart.
    fn scattered_orders(&self) -> Option<Finding> {
        let is_scattered = |order: &&Order| order.last_ms - order.first_ms > DAY_MS;
        let mut scattered: Vec<&Order> = self.orders.values().filter(is_scattered).collect();
        scattered.sort_by_key(|order| order.first_ms);
        let first = self.beyond_noise(&scattered)?;
        Some(Finding {
            kind: Kind::ScatteredOrder,
            what: format!(
                "{}{} orders have rows that are more than a day apart",
                self.at_least(),
                scattered.len()
            ),
            events: scattered.iter().map(|order| u64::from(order.rows)).sum(),
            example: first.first.shown(),
            effect: "a clock that is off, or order numbers that are used again, join what was not \
                     bought together",
            mend: "map a column that names one order (--map basket_id=…), and check the clocks"
                .to_owned(),
        })
    }

    /// The word before a number, where not all orders are looked at.
    fn at_least(&self) -> &'static str {
        if self.sampled > 0 { "at least " } else { "" }
    }

    /// The first of some orders that are too many to be coincidence.
    fn beyond_noise<'o>(&self, orders: &[&'o Order]) -> Option<&'o Order> {
        let many = orders.len() as f64 > NOISE * self.orders.len() as f64;
        orders.first().copied().filter(|_| many)
    }
}
