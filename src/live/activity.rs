//! Who was active on which day, and what was sold: the days of the store in its time zone.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::domain::order::{Noted, Trade};
use crate::domain::{DAY_MS, UserIdx};

/// A day of the store.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Day {
    /// The users with a behaviour on it.
    pub active: Arc<RoaringBitmap>,
    /// Sums of what was sold.
    pub sold: Sold,
}

/// Sums of what was sold on a day.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sold {
    /// Number of orders begun.
    pub orders: u32,
    /// Number of items.
    pub units: f64,
    /// What was paid, in the store's currency.
    pub revenue: f64,
    /// What was paid back, in the store's currency.
    pub refunded: f64,
}

/// The days of a store.
#[derive(Debug)]
pub struct Activity {
    zone: TimeZone,
    days: BTreeMap<i32, Day>,
}

impl Default for Activity {
    /// No day yet, in UTC.
    fn default() -> Self {
        Self { zone: TimeZone::UTC, days: BTreeMap::new() }
    }
}

impl Activity {
    /// Counts days in a time zone; before the first event.
    pub fn set_zone(&mut self, zone: TimeZone) {
        self.zone = zone;
    }

    /// The time zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Notes a user's behaviour.
    pub fn note(&mut self, user: UserIdx, time_ms: i64) {
        Arc::make_mut(&mut self.day_mut(time_ms).active).insert(user);
    }

    /// Notes a purchase or a refund, and what it changed.
    pub fn note_sale(&mut self, trade: &Trade, noted: Noted) {
        let sold = &mut self.day_mut(trade.time_ms).sold;
        sold.orders += u32::from(noted.is_order);
        if trade.units > 0.0 {
            sold.units += trade.units;
            sold.revenue += noted.spend;
        } else {
            sold.refunded -= noted.spend;
        }
    }

    /// The same days, of a store that has none yet.
    pub(super) fn restore(&mut self, days: BTreeMap<i32, Day>) {
        self.days = days;
    }

    fn day_mut(&mut self, time_ms: i64) -> &mut Day {
        self.days.entry(day_of(&self.zone, time_ms)).or_default()
    }

    /// The days with an event, each by its number, counted from 1970-01-01 in the store's zone. A copy shares
    /// their users, so that it takes little time.
    pub fn days(&self) -> &BTreeMap<i32, Day> {
        &self.days
    }

    /// Erases a user from every day. What was sold stays until the log is replayed: sums name
    /// no user.
    pub fn erase(&mut self, user: UserIdx) {
        for day in self.days.values_mut() {
            if day.active.contains(user) {
                Arc::make_mut(&mut day.active).remove(user);
            }
        }
    }

    /// Counts the days of an alias as those of a user.
    pub fn absorb(&mut self, user: UserIdx, alias: UserIdx) {
        for day in self.days.values_mut() {
            if day.active.contains(alias) {
                let active = Arc::make_mut(&mut day.active);
                active.remove(alias);
                active.insert(user);
            }
        }
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let days = self.days.values().map(|day| day.active.serialized_size());
        self.days.len() * 2 * size_of::<Day>() + days.sum::<usize>()
    }
}

/// The day of a moment in a time zone, counted from 1970-01-01.
pub fn day_of(zone: &TimeZone, time_ms: i64) -> i32 {
    local_ms(zone, time_ms).div_euclid(DAY_MS) as i32
}

/// A moment as the clocks of a time zone show it, in milliseconds since 1970.
pub fn local_ms(zone: &TimeZone, time_ms: i64) -> i64 {
    let moment = Timestamp::from_millisecond(time_ms).unwrap_or_default();
    moment.as_millisecond() + i64::from(zone.to_offset(moment).seconds()) * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::Paid;

    #[test]
    fn days_are_those_of_the_store_and_forget_the_erased() {
        let mut activity = Activity::default();
        activity.set_zone(TimeZone::get("Asia/Shanghai").unwrap());
        // 1970-01-02 00:30 in Shanghai is 16:30 of the day before in London.
        let half_past = 16 * 3_600_000 + 1_800_000;
        activity.note(1, half_past);
        activity.note(2, half_past - 3_600_000);
        let trade =
            |units| Trade { time_ms: half_past, order: Some((7, 0)), units, paid: Paid::Unknown };
        activity.note_sale(&trade(2.0), Noted { is_order: true, spend: 10.0 });
        activity.note_sale(&trade(-1.0), Noted { is_order: false, spend: -5.0 });
        let expected = Sold { orders: 1, units: 2.0, revenue: 10.0, refunded: 5.0 };
        assert_eq!(activity.days()[&1].sold, expected);
        assert!(activity.days()[&0].active.contains(2) && activity.days()[&1].active.contains(1));
        activity.erase(1);
        assert!(activity.days()[&1].active.is_empty() && activity.bytes() > 0);
    }
}
