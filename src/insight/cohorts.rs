//! Cohorts: users by the period in which they came, and how many of them came again in each period after it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use roaring::RoaringBitmap;

use super::period::Period;
use crate::domain::UserIdx;
use crate::domain::order::OrderBook;
use crate::live::activity::{Day, day_of};

/// Users by the number of a period.
pub type UsersByPeriod = BTreeMap<i32, RoaringBitmap>;

/// Users who came in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cohort {
    /// The period.
    pub period: i32,
    /// Their number in this period, and in each after it that has begun.
    pub users: Vec<u32>,
}

/// The users who were active, by period.
pub fn active(days: &BTreeMap<i32, Day>, period: Period) -> UsersByPeriod {
    let mut users = UsersByPeriod::new();
    for (day, of_day) in days {
        *users.entry(period.of_day(*day)).or_default() |= &*of_day.active;
    }
    users
}

/// Adds a user to the periods in which they ordered.
pub fn note_orders(
    users: &mut UsersByPeriod,
    (user, book): (UserIdx, &OrderBook),
    zone: &TimeZone,
    period: Period,
) {
    let times = book.standing().map(|order| order.time_ms());
    let mut last = None;
    for time_ms in book.first_order_ms().into_iter().chain(times) {
        let number = period.of_day(day_of(zone, time_ms));
        if last != Some(number) {
            users.entry(number).or_default().insert(user);
        }
        last = Some(number);
    }
}

/// The cohorts of periods, the newest `max` of them.
pub fn cohorts(users: &UsersByPeriod, max: usize) -> Vec<Cohort> {
    let last = users.keys().next_back().copied().unwrap_or(0);
    let mut seen = RoaringBitmap::new();
    let mut cohorts = Vec::new();
    for (period, of_period) in users {
        let new = of_period - &seen;
        seen |= of_period;
        if i64::from(*period) <= i64::from(last) - max as i64 || new.is_empty() {
            continue;
        }
        let came = (*period..=last)
            .map(|later| users.get(&later).map_or(0, |users| new.intersection_len(users)) as u32);
        cohorts.push(Cohort { period: *period, users: came.collect() });
    }
    cohorts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DAY_MS;
    use crate::domain::order::{Paid, Trade};

    #[test]
    fn cohorts_come_again_or_do_not() {
        let at = |days: &[(i32, &[u32])]| -> UsersByPeriod {
            days.iter().map(|(day, users)| (*day, users.iter().copied().collect())).collect()
        };
        let users = at(&[(1, &[1, 2, 3]), (2, &[2, 4]), (4, &[1, 2, 4, 5])]);
        let cohort = |period, users: &[u32]| Cohort { period, users: users.to_vec() };
        let all = [cohort(1, &[3, 1, 0, 2]), cohort(2, &[1, 0, 1]), cohort(4, &[1])];
        assert_eq!(cohorts(&users, 100), all);
        assert_eq!(cohorts(&users, 3), all[1..]);
        assert_eq!(cohorts(&UsersByPeriod::new(), 3), []);
    }

    #[test]
    fn what_was_returned_is_no_order() {
        let book = |days: &[i64]| {
            let mut book = OrderBook::default();
            for (basket, day) in (1..).zip(days) {
                let time_ms = day * DAY_MS;
                book.note(Trade {
                    time_ms,
                    order: Some((basket, 0)),
                    units: 1.0,
                    paid: Paid::Exact(1.0),
                });
            }
            book
        };
        let mut returned = book(&[3]);
        returned.note(Trade {
            time_ms: 4 * DAY_MS,
            order: Some((1, 0)),
            units: -1.0,
            paid: Paid::Exact(-1.0),
        });
        let books = [(7, &book(&[3, 3, 5])), (8, &returned)];
        let mut users = UsersByPeriod::new();
        for of_user in books {
            note_orders(&mut users, of_user, &TimeZone::UTC, Period::Day);
        }
        let expected: UsersByPeriod =
            [3, 5].map(|day| (day, RoaringBitmap::from_iter([7]))).into_iter().collect();
        assert_eq!(users, expected);
    }
}
