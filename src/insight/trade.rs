//! Activity and trade by period.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use roaring::RoaringBitmap;

use super::period::Period;
use crate::live::activity::{Day, Sold};

/// A period of a store.
#[derive(Debug, Clone, PartialEq)]
pub struct PeriodFigures {
    /// Its number.
    pub period: i32,
    /// Number of users who were active.
    pub active: u64,
    /// Number of them who were not before.
    pub new: u64,
    /// What was sold.
    pub sold: Sold,
}

/// The periods from one to another, each by its number; `skipped` users are not counted.
pub fn by_period(
    activity: &BTreeMap<i32, Day>,
    period: Period,
    periods: RangeInclusive<i32>,
    skipped: &RoaringBitmap,
) -> Vec<PeriodFigures> {
    let mut seen = skipped.clone();
    let mut figures: BTreeMap<i32, (RoaringBitmap, RoaringBitmap, Sold)> = BTreeMap::new();
    for (day, of_day) in activity {
        let number = period.of_day(*day);
        if periods.contains(&number) {
            let (active, new, sold) = figures.entry(number).or_default();
            *active |= &*of_day.active - skipped;
            *new |= &*of_day.active - &seen;
            sold.orders += of_day.sold.orders;
            sold.units += of_day.sold.units;
            sold.revenue += of_day.sold.revenue;
            sold.refunded += of_day.sold.refunded;
        }
        seen |= &*of_day.active;
    }

    let figures = figures.into_iter().map(|(period, (active, new, sold))| PeriodFigures {
        period,
        active: active.len(),
        new: new.len(),
        sold,
    });
    figures.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DAY_MS;
    use crate::domain::order::{Noted, Paid, Trade};
    use crate::live::Activity;

    #[test]
    fn periods_are_sums_and_users_count_once() {
        let mut activity = Activity::default();
        for (user, day) in [(1, 4), (1, 5), (2, 6), (2, 11), (3, 11), (4, 11)] {
            activity.note(user, day * DAY_MS);
        }
        let paid = Paid::Exact(9.0);
        let trade = Trade { time_ms: 5 * DAY_MS, order: Some((1, 0)), units: 3.0, paid };
        activity.note_sale(&trade, Noted { is_order: true, spend: 9.0 });
        let again = Noted { is_order: false, spend: 9.0 };
        activity.note_sale(&Trade { time_ms: 6 * DAY_MS, ..trade }, again);
        let skipped = RoaringBitmap::from_iter([4]);
        let weeks = by_period(activity.days(), Period::Week, 0..=9, &skipped);
        let sold = Sold { orders: 1, units: 6.0, revenue: 18.0, refunded: 0.0 };
        let expected = PeriodFigures { period: 1, active: 2, new: 2, sold };
        assert_eq!(weeks[0], expected);
        assert_eq!((weeks[1].active, weeks[1].new, weeks.len()), (2, 1, 2));
        assert_eq!(by_period(activity.days(), Period::Day, 6..=10, &skipped).len(), 1);
    }
}
