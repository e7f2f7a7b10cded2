//! What follows what: for stores where order matters.
//!
//! T_ij = Σ over shoppers of 1 / d for every j that comes d steps after i, up to
//! a few steps; divided by n_j^γ, so that what follows everything says little.

use rayon::prelude::*;

use crate::domain::ItemIdx;
use crate::domain::topk::{Scored, keep_top};
use crate::matrix::weight::kind_weight;
use crate::matrix::{Csr, UserEvents};
use crate::model::settings::TransitionSettings;

/// Counts transitions: items × items, best first.
pub fn train(events: &UserEvents, settings: &TransitionSettings) -> Csr {
    let mut steps: Vec<(ItemIdx, ItemIdx, f32)> = (0..events.users())
        .into_par_iter()
        .flat_map_iter(|user| of_user(events, user, settings.steps))
        .collect();
    // Pairs first, then weights: equal sums come about in the same order every time.
    steps.par_sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
    let mut reached = vec![0.0f32; events.items()];
    steps.iter().for_each(|&(_, to, weight)| reached[to as usize] += weight);

    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); events.items()];
    for from in steps.chunk_by(|a, b| a.0 == b.0) {
        let mut targets: Vec<Scored> = from
            .chunk_by(|a, b| a.1 == b.1)
            .map(|pair| {
                let count: f32 = pair.iter().map(|step| step.2).sum();
                let to = pair[0].1;
                let popularity = reached[to as usize].powf(settings.target_popularity);
                Scored { idx: to, score: count / popularity }
            })
            .collect();
        keep_top(&mut targets, settings.neighbours);
        rows[from[0].0 as usize] = targets.iter().map(|s| (s.idx, s.score)).collect();
    }
    Csr::from_rows(events.items(), rows)
}

fn of_user(events: &UserEvents, user: usize, steps: usize) -> Vec<(ItemIdx, ItemIdx, f32)> {
    let said = events.of(user).iter().filter(|e| kind_weight(e.kind) > 0.0);
    let mut items: Vec<ItemIdx> = said.map(|e| e.item).collect();
    items.dedup();
    let mut found = Vec::new();
    for (at, &from) in items.iter().enumerate() {
        for (distance, &to) in (1..=steps).zip(&items[at + 1..]) {
            if to != from {
                found.push((from, to, 1.0 / distance as f32));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventKind, HistoryEvent};

    #[test]
    fn nearer_steps_count_more() {
        let log = [0, 1, 2].map(|item| {
            let time_ms = i64::from(item);
            (0, HistoryEvent { time_ms, item, quantity: 1.0, basket: 0, kind: EventKind::View })
        });
        let events = UserEvents::new(1, 3, log.to_vec());
        let settings = TransitionSettings { target_popularity: 0.0, ..Default::default() };
        let table = train(&events, &settings);
        assert_eq!(table.row(0), (&[1, 2][..], &[1.0, 0.5][..]));
        assert_eq!(table.row(1), (&[2][..], &[1.0][..]));
        assert_eq!(table.row(2).0, [0u32; 0]);
    }
}
