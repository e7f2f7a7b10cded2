//! Transitions: what follows what, for stores where order matters.
//!
//! T_ij = Σ over users of 1 / d for every j that comes d steps after i, up to a few steps, /
//! (m_i^σ n_j^γ), where i occurs m_i times and j is reached n_j times, so that frequent items have
//! less weight. A step is a basket or, without baskets, a moment; an item may follow itself.

use rayon::prelude::*;

use crate::domain::ItemIdx;
use crate::domain::topk::{Scored, Threshold, keep_top};
use crate::matrix::weight::kind_weight;
use crate::matrix::{Csr, UserEvents};
use crate::model::settings::TransitionSettings;

/// A basket's items, each once.
pub(super) type Basket = Vec<ItemIdx>;

/// Counts transitions: items × items, best first.
pub fn train(events: &UserEvents, settings: &TransitionSettings) -> Csr {
    let baskets: Vec<Vec<Basket>> =
        (0..events.users()).into_par_iter().map(|user| steps(events, user)).collect();
    // The occurrences of each item, so that each row is summed on its own, in the same order every
    // time.
    let mut occurs: Vec<Vec<(u32, u32)>> = vec![Vec::new(); events.items()];

    let mut reached = vec![0.0f32; events.items()];
    for (user, of_user) in (0u32..).zip(&baskets) {
        for (at, basket) in (0u32..).zip(of_user) {
            let before: f32 = (1..=settings.steps.min(at as usize))
                .map(|d| of_user[at as usize - d].len() as f32 / d as f32)
                .sum();
            for &item in basket {
                occurs[item as usize].push((user, at));
                reached[item as usize] += before;
            }
        }
    }

    let fade: Vec<f32> = reached.iter().map(|n| n.powf(-settings.target_popularity)).collect();
    let rows = occurs
        .par_iter()
        .map_init(
            || (vec![0.0f32; events.items()], Vec::new()),
            |(sums, touched), occurs| {
                for &(user, at) in occurs {
                    let later = &baskets[user as usize][at as usize + 1..];
                    for (distance, basket) in (1..=settings.steps).zip(later) {
                        for &to in basket {
                            if sums[to as usize] == 0.0 {
                                touched.push(to);
                            }
                            sums[to as usize] += 1.0 / distance as f32;
                        }
                    }
                }

                let scale = (occurs.len() as f32).powf(-settings.source_popularity);
                let mut best = Vec::new();
                let mut threshold = Threshold::new(settings.neighbours);
                for to in touched.drain(..) {
                    let count = std::mem::take(&mut sums[to as usize]);
                    let score = count * scale * fade[to as usize];
                    threshold.push(&mut best, Scored { idx: to, score });
                }

                keep_top(&mut best, settings.neighbours);
                best.iter().map(|s| (s.idx, s.score)).collect()
            },
        )
        .collect();
    Csr::from_rows(events.items(), rows)
}

/// What a user did, step by step.
pub(super) fn steps(events: &UserEvents, user: usize) -> Vec<Basket> {
    let said: Vec<_> =
        events.of(user).iter().filter(|e| kind_weight(e.kind) > 0.0).copied().collect();

    let mut baskets: Vec<Basket> = Vec::new();
    for of_basket in said.chunk_by(|a, b| a.moment() == b.moment()) {
        let mut basket: Basket = of_basket.iter().map(|e| e.item).collect();
        basket.sort_unstable();
        basket.dedup();
        // Viewing the same item twice is no step.
        if basket.len() > 1 || baskets.last() != Some(&basket) {
            baskets.push(basket);
        }
    }
    baskets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventKind, HistoryEvent};

    #[test]
    fn nearer_steps_count_more() {
        let log = [0, 1, 2].map(|item| {
            let time_ms = i64::from(item);
            (0, HistoryEvent::new(EventKind::View, item, time_ms))
        });
        let events = UserEvents::new(1, 3, log.to_vec());
        let settings = TransitionSettings {
            source_popularity: 0.0,
            target_popularity: 0.0,
            ..Default::default()
        };

        let table = train(&events, &settings);
        assert_eq!(table.row(0), (&[1, 2][..], &[1.0, 0.5][..]));
        assert_eq!(table.row(1), (&[2][..], &[1.0][..]));
        assert_eq!(table.row(2).0, [0u32; 0]);
    }

    #[test]
    fn a_basket_is_one_step() {
        let bought = |item, basket| {
            (0, HistoryEvent { basket, ..HistoryEvent::new(EventKind::Purchase, item, 0) })
        };
        let log = vec![bought(0, 1), bought(1, 1), bought(1, 2), bought(2, 2)];
        let settings = TransitionSettings { source_popularity: 1.0, ..Default::default() };
        let table = train(&UserEvents::new(1, 3, log), &settings);
        assert_eq!(table.row(0), (&[1, 2][..], &[1.0, 1.0][..]));
        assert_eq!(table.row(1), (&[1, 2][..], &[0.5, 0.5][..]));
    }
}
