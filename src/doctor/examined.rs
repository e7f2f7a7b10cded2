//! One event as the doctor sees it.

use jiff::Timestamp;

use crate::domain::{Event, EventKind};

/// An event of a log.
#[derive(Debug, Clone, Copy)]
pub struct Examined<'a> {
    /// Its line in the file, or its offset in the log.
    pub line: u64,
    /// The user.
    pub user: &'a str,
    /// The item.
    pub item: &'a str,
    /// What the user did.
    pub kind: EventKind,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// How many.
    pub quantity: f64,
    /// The order; empty for none.
    pub basket: &'a str,
    /// Whether it equals an earlier event in everything, its id included.
    pub repeats: bool,
}

impl<'a> Examined<'a> {
    /// An event at a line of its file, or an offset of its log.
    pub fn of(event: &'a Event, line: u64, repeats: bool) -> Self {
        Self {
            line,
            user: &event.user_id,
            item: &event.item_id,
            kind: event.kind,
            time_ms: event.time_ms,
            quantity: event.quantity,
            basket: &event.basket_id,
            repeats,
        }
    }
}

/// Where something was seen first: all that is kept of each user, item and order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sighting {
    pub(super) time_ms: i64,
    line: u64,
}

impl Sighting {
    pub(super) fn of(event: &Examined<'_>) -> Self {
        Self { line: event.line, time_ms: event.time_ms }
    }

    /// The sighting as an example.
    pub(super) fn shown(&self) -> String {
        format!("line {}, {}", self.line, day_and_time(self.time_ms))
    }
}

impl Examined<'_> {
    /// The event as an example.
    pub(super) fn shown(&self) -> String {
        let Self { line, user, item, kind, .. } = self;
        format!("line {line}: {} of {item} by {user}, {}", kind.name(), day_and_time(self.time_ms))
    }
}

/// A time for people.
pub(super) fn day_and_time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A day for people, from its number since 1970.
pub(super) fn day(number: i64) -> String {
    let ms = number.saturating_mul(crate::domain::DAY_MS);
    Timestamp::from_millisecond(ms).unwrap_or_default().strftime("%Y-%m-%d").to_string()
}
