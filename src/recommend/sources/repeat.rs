//! What the shopper bought before and may need again.
//!
//! score_i = Σ over baskets with i of ρ^age, over the row's maximum, times
//! (recent popularity of i)^π; age counts the baskets since, so that a weekly and
//! a yearly shopper are treated alike. (Personal frequency with decay is the core
//! of TIFU-KNN: Hu et al., arXiv 2006.00556. Multiplying by popularity and not
//! adding it is what keeps a gift shop's one-offs down.)

use crate::domain::EventKind;
use crate::matrix::weight::taken_back;
use crate::model::Snapshot;
use crate::recommend::features::basket;
use crate::recommend::{Query, Scratch};

/// Runs the source.
pub(super) fn repeat(snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
    let settings = &snapshot.manifest.settings.repeat;
    let trend = &snapshot.parts.popularity.trending.by_item;
    let most = snapshot.parts.popularity.trending.scores.first().copied().unwrap_or(1.0);
    let Scratch { items, mask, candidates, .. } = scratch;
    items.reserve(trend.len());
    let bought = query.history.iter().filter(|e| e.kind == EventKind::Purchase);
    let mut weight = 1.0;
    let mut later: Option<(u32, i64)> = None;
    // From the newest basket back; an item counts once a basket.
    let mut held: Vec<u32> = Vec::new();
    for event in bought.rev().filter(|e| (e.item as usize) < trend.len()) {
        let key = basket(event);
        if later.is_some_and(|last| last != key) {
            weight *= settings.rho;
            held.clear();
        }
        later = Some(key);
        if !held.contains(&event.item) {
            held.push(event.item);
            items.add(event.item, weight);
        }
    }
    items.drain_top(usize::MAX, |item| mask.allows(item), candidates);
    if query.history.iter().any(|e| e.kind == EventKind::Refund) {
        let of = |item| query.history.iter().filter(move |e| e.item == item);
        candidates.retain(|s| !taken_back(of(s.idx)));
    }
    for candidate in candidates.iter_mut() {
        let popularity = (trend[candidate.idx as usize] / most).max(1e-6);
        candidate.score *= popularity.powf(settings.popularity);
    }
    crate::domain::topk::keep_top(candidates, k);
}
