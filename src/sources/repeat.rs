//! Repeat purchases: what the user bought before and may need again.
//!
//! score_i = Σ over baskets with i of ρ^age · (recent popularity of i)^π · (share of its buyers
//! who came back for i)^α · min(1, days since / usual days between)^δ; age counts the baskets
//! since, so that weekly and yearly users are treated alike. Personal frequency with decay is the
//! core of TIFU-KNN (Hu et al., arXiv 2006.00556); multiplying by popularity, not adding it, keeps
//! one-off gifts down.

use super::candidate::CandidateSource;
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{Hyperparameter, parameter};
use crate::domain::topk::keep_top;
use crate::domain::{DAY_MS, EventKind};
use crate::matrix::weight::is_refunded;
use crate::model::Snapshot;

/// Lower bound of each factor, so that none dominates the product.
const LEAST: f32 = 1e-3;

pub(super) struct Repeat;

impl CandidateSource for Repeat {
    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        let settings = &query.settings(snapshot).repeat;
        let trend = &snapshot.parts.popularity.trending.by_item;
        let max = snapshot.parts.popularity.trending.scores.first().copied().unwrap_or(1.0);
        let Scratch { items, mask, candidates, last_ms, .. } = scratch;
        last_ms.clear();
        items.reserve(trend.len());
        let bought = query.history.iter().filter(|e| e.kind == EventKind::Purchase);
        let mut weight = 1.0;
        let mut later: Option<(u32, i64)> = None;

        // From the newest basket back; an item counts once per basket.
        let mut held: Vec<u32> = Vec::new();
        for event in bought.rev().filter(|e| (e.item as usize) < trend.len()) {
            let key = event.together();
            if later.is_some_and(|last| last != key) {
                weight *= settings.rho;
                held.clear();
            }

            later = Some(key);
            if settings.due > 0.0 {
                last_ms.entry(event.item).or_insert(event.time_ms);
            }

            if !held.contains(&event.item) {
                held.push(event.item);
                items.add(event.item, weight);
            }
        }

        items.drain_top(usize::MAX, |item| mask.allows(item), candidates);
        if query.history.iter().any(|e| e.kind == EventKind::Refund) {
            let of = |item| query.history.iter().filter(move |e| e.item == item);
            candidates.retain(|s| !is_refunded(of(s.idx)));
        }

        let habits = &snapshot.parts.habits;
        for candidate in candidates.iter_mut() {
            let item = candidate.idx as usize;
            let popularity = (trend[item] / max).max(LEAST);
            candidate.score *= popularity.powf(settings.popularity);
            let again = habits.again.get(item).map_or(LEAST, |share| share.max(LEAST));
            candidate.score *= again.powf(settings.again);
        }

        if settings.due > 0.0 {
            for candidate in candidates.iter_mut() {
                let since_ms =
                    query.shelf.now_ms - last_ms.get(&candidate.idx).copied().unwrap_or(0);
                let usual = habits.gap_days.get(candidate.idx as usize).copied().unwrap_or(0.0);
                let due = since_ms as f32 / DAY_MS as f32 / usual.max(LEAST);
                candidate.score *= due.clamp(LEAST, 1.0).powf(settings.due);
            }
        }
        keep_top(candidates, k);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        vec![
            parameter!(false, repeat.rho, f32, [0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0]),
            parameter!(false, repeat.popularity, f32, [0.0, 0.15, 0.3, 0.5, 0.7]),
            parameter!(false, repeat.again, f32, [0.0, 0.25, 0.5, 1.0, 1.5]),
            parameter!(false, repeat.due, f32, [0.0, 0.1, 0.2, 0.4, 0.8]),
        ]
    }

    fn reads_order(&self) -> bool {
        true
    }
}
