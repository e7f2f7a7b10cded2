//! Proposals by similar users, for user CF and pushed user neighbours.

use super::query::Query;
use super::scratch::Scratch;
use crate::matrix::Csr;
use crate::model::Snapshot;

/// Proposes items of the users v in `scratch.candidates`: score_j = Σ s_v · D_v^-½ · x_vj, with s_v
/// their scores.
pub(super) fn propose_of_neighbours(by_user: &Csr, k: usize, scratch: &mut Scratch) {
    let Scratch { items, mask, candidates, .. } = scratch;
    items.reserve(by_user.width);
    by_user.fetch(candidates.iter().map(|neighbour| neighbour.idx));
    for neighbour in candidates.drain(..) {
        let user = neighbour.idx as usize;
        let says = neighbour.score / (by_user.degree(user) as f32).sqrt();
        for (item, weight) in by_user.pairs(user) {
            items.add(item, says * weight);
        }
    }
    items.drain_top(k, |item| mask.allows(item), candidates);
}

/// The `k` users most similar to the profile, by the cosine of item-normalised rows, best first; a
/// user is not their own neighbour.
pub fn similar_users(snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
    let model = &snapshot.parts.user_cf;
    let Scratch { profile, users, candidates, .. } = scratch;
    users.reserve(model.by_user.rows());
    model.newest_by_item.fetch(profile.iter().map(|cell| cell.item));

    let mut squares = 0.0;
    for cell in profile.iter() {
        let Some(&norm) = model.item_norm.get(cell.item as usize) else { continue };
        squares += cell.weight * cell.weight * norm;
        let weight = cell.weight * norm;
        for (user, x) in model.newest_by_item.pairs(cell.item as usize) {
            users.add(user, weight * x);
        }
    }

    users.drain_top(k, |user| Some(user) != query.user, candidates);
    let own_norm = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
    candidates.iter_mut().for_each(|c| c.score = (c.score * own_norm).min(1.0));
}
