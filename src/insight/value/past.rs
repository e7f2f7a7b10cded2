//! A user's past as the models of purchases read it.

use crate::domain::DAY_MS;
use crate::domain::order::OrderBook;

/// When and how much a user bought until a moment: the recency-frequency summary of Fader, Hardie and Lee
/// (2005), in days.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Past {
    /// Number of days with a purchase after the first.
    pub repeats: f64,
    /// Days from the first to the last of them.
    pub recency: f64,
    /// Days from the first to the moment; at least `recency`.
    pub age: f64,
    /// Mean spend of a day with a purchase, in the store's currency; at least 0.
    pub mean_spend: f64,
}

impl Past {
    /// The past at a moment; none before the first purchase.
    pub fn of(book: &OrderBook, at_ms: i64) -> Option<Self> {
        let entries = book.entries().iter().take_while(|order| order.time_ms() <= at_ms);
        let spend: f64 = entries.map(|order| order.spend()).sum();
        let mut days = 0u32;
        let mut last = None;
        let mut first_standing = None;
        for order in book.standing().take_while(|order| order.time_ms() <= at_ms) {
            let day = order.time_ms().div_euclid(DAY_MS);
            first_standing = first_standing.or(Some(day));
            days += u32::from(last != Some(day));
            last = Some(day);
        }

        let (left, left_spend) = book.left().map_or((0, 0.0), |left| (left.days, left.spend));
        let first_kept = first_standing?;
        let first = match left {
            0 => first_kept,
            _ => book.first_ms().map_or(first_kept, |first| first.div_euclid(DAY_MS)),
        };
        let days = f64::from(days + left);
        let last = last.unwrap_or(first);
        let today = at_ms.div_euclid(DAY_MS);
        Some(Self {
            repeats: days - 1.0,
            recency: (last - first) as f64,
            age: (today - first).max(last - first) as f64,
            mean_spend: ((spend + left_spend) / days).max(0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::{Paid, Trade};

    #[test]
    fn days_are_counted_once_and_up_to_the_moment() {
        let mut book = OrderBook::default();
        for (day, basket, spend) in [(2, 1, 10.0), (2, 2, 20.0), (9, 3, 30.0), (30, 4, 99.0)] {
            let time_ms = day * DAY_MS + 5;
            book.note(Trade {
                time_ms,
                order: Some((basket, 0)),
                units: 1.0,
                paid: Paid::Exact(spend),
            });
        }
        let past = Past::of(&book, 12 * DAY_MS).unwrap();
        assert_eq!(past, Past { repeats: 1.0, recency: 7.0, age: 10.0, mean_spend: 30.0 });
        assert_eq!(Past::of(&book, DAY_MS), None);
    }
}
