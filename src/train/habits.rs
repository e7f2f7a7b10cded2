//! Repurchase statistics of items: who returned for them, and how soon.

use crate::domain::{DAY_MS, EventKind};
use crate::matrix::UserEvents;
use crate::matrix::weight::kind_weight;
use crate::model::Habits;

/// Pseudo-count of buyers, and of gaps, with the store's mean.
const PRIOR: f64 = 5.0;
/// Purchases closer than this, in days, count as one.
const SAME_DAYS: f64 = 0.5;

/// Counts an item's buyers, those who bought it again on another day, and the days between.
pub fn train(events: &UserEvents) -> Habits {
    let items = events.items();
    let mut buyers = vec![0.0f64; items];
    let mut again = vec![0.0f64; items];
    let mut gaps = vec![0.0f64; items];
    let mut days = vec![0.0f64; items];
    let mut bought: Vec<(u32, i64)> = Vec::new();
    for user in 0..events.users() {
        let purchases = events.of(user).iter().filter(|e| e.kind == EventKind::Purchase);
        bought.clear();
        bought.extend(purchases.map(|e| (e.item, e.time_ms)));
        bought.sort_unstable();

        for of_item in bought.chunk_by(|a, b| a.0 == b.0) {
            let item = of_item[0].0 as usize;
            let between = of_item.windows(2).map(|w| (w[1].1 - w[0].1) as f64 / DAY_MS as f64);
            let before = gaps[item];
            for gap in between.filter(|&gap| gap > SAME_DAYS) {
                gaps[item] += 1.0;
                days[item] += gap;
            }
            buyers[item] += 1.0;
            again[item] += f64::from(u8::from(gaps[item] > before));
        }
    }

    let gap_days = shares(&days, &gaps);
    let now_ms = events.as_of_ms();

    let mut first = vec![now_ms; items];
    let mut last = vec![i64::MIN; items];
    for event in events.all().iter().filter(|e| kind_weight(e.kind) > 0.0) {
        let item = event.item as usize;
        first[item] = first[item].min(event.time_ms);
        last[item] = last[item].max(event.time_ms);
    }

    let days = |times: Vec<i64>| -> Vec<f32> {
        let ago = |time_ms: i64| now_ms.saturating_sub(time_ms).max(0) as f32 / DAY_MS as f32;
        times.into_iter().map(ago).collect()
    };
    Habits {
        again: shares(&again, &buyers),
        gap_days,
        age_days: days(first),
        idle_days: days(last),
        price: prices(events),
    }
}

/// The geometric mean of the prices paid for each item, which one wrong price does not move far.
fn prices(events: &UserEvents) -> Vec<f32> {
    let mut paid = vec![(0.0f64, 0u32); events.items()];
    for event in events.all() {
        if let Some(price) = event.price.ln() {
            let (sum, count) = &mut paid[event.item as usize];
            *sum += f64::from(price);
            *count += 1;
        }
    }

    let mean = |(sum, count): (f64, u32)| match count {
        0 => 0.0,
        _ => (sum / f64::from(count)).exp() as f32,
    };
    paid.into_iter().map(mean).collect()
}

/// `part / whole` by item, with [`PRIOR`] pseudo-counts of the store's own share.
fn shares(part: &[f64], whole: &[f64]) -> Vec<f32> {
    let mean = part.iter().sum::<f64>() / whole.iter().sum::<f64>().max(1.0);
    let pairs = part.iter().zip(whole);
    pairs.map(|(part, whole)| ((part + PRIOR * mean) / (whole + PRIOR)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::HistoryEvent;

    #[test]
    fn few_buyers_are_drawn_to_the_mean() {
        let bought = |item, day| HistoryEvent::new(EventKind::Purchase, item, day * DAY_MS);
        let log = vec![
            (0, bought(0, 0)),
            (0, bought(0, 0)),
            (0, bought(0, 30)),
            (1, bought(0, 5)),
            (1, bought(1, 5)),
            (1, bought(1, 15)),
        ];

        let habits = train(&UserEvents::new(2, 3, log));
        // Of three pairs two returned: 2/3; gaps of 30 and 10 days.
        let expected = [(1.0 + 5.0 * 2.0 / 3.0) / 7.0, (1.0 + 10.0 / 3.0) / 6.0, 2.0 / 3.0];
        habits.again.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6));
        assert_eq!(habits.gap_days, [(30.0 + 100.0) / 6.0, (10.0 + 100.0) / 6.0, 20.0]);
    }
}
