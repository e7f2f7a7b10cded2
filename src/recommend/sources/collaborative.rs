//! Sources that read the shopper's row of the matrix, in `scratch.profile`.

use crate::domain::topk::Scored;
use crate::live::ItemMask;
use crate::matrix::Csr;
use crate::model::vectors::embeddings::SCAN_UP_TO;
use crate::model::vectors::graph::SearchState;
use crate::model::{Embeddings, Snapshot};
use crate::recommend::{Query, Scratch};

/// With more items forbidden than this, a search in the graph would mostly find
/// what may not be offered.
const FORBIDDEN_UP_TO: usize = 1_000;

/// Item CF and EASE: score_j = Σ_i x_i W_ij.
pub(super) fn linear(table: &Csr, k: usize, scratch: &mut Scratch) {
    let Scratch { profile, items, mask, candidates, .. } = scratch;
    items.reserve(table.width);
    table.fetch(profile.iter().map(|cell| cell.item));
    for cell in profile.iter() {
        for (item, weight) in table.pairs(cell.item as usize) {
            items.add(item, cell.weight * weight);
        }
    }
    items.drain_top(k, |item| mask.allows(item), candidates);
}

/// score_j = Σ over the most similar users v of sim^power · D_v^-½ · x_vj.
pub(super) fn user_cf(snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
    let model = &snapshot.parts.user_cf;
    let settings = &query.settings(snapshot).user_cf;
    similar_users(snapshot, query, settings.neighbours, scratch);
    for neighbour in &mut scratch.candidates {
        neighbour.score = neighbour.score.powf(settings.power);
    }
    of_neighbours(&model.by_user, k, scratch);
}

/// score_j = Σ s_v · D_v^-½ · x_vj over the users v in `scratch.candidates`, with s_v
/// their scores.
pub(super) fn of_neighbours(by_user: &Csr, k: usize, scratch: &mut Scratch) {
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

/// The `k` users most similar to the profile, by the cosine of item-normalised
/// rows, best first; the shopper is not their own neighbour.
pub(in crate::recommend) fn similar_users(
    snapshot: &Snapshot,
    query: &Query<'_>,
    k: usize,
    scratch: &mut Scratch,
) {
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

/// score_j = ⟨q, y_j⟩ with q folded in from the profile.
pub(super) fn embedding(snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
    let model = &snapshot.parts.embeddings;
    let Scratch { profile, mask, candidates, query: vector, search, .. } = scratch;
    model.user_vector(profile, vector);
    *candidates = nearest(model, vector, k, query.shelf.items, mask, search);
}

/// The best `k` items that may be offered by inner product with a vector, with
/// scores above 0, best first. `items` is how many there are on the shelf.
pub(in crate::recommend) fn nearest(
    model: &Embeddings,
    vector: &[f32],
    k: usize,
    items: usize,
    mask: &ItemMask,
    search: &mut SearchState,
) -> Vec<Scored> {
    let allowed = mask.count();
    let forbidden = items.saturating_sub(allowed);
    // A snapshot in the making has no graph yet, and one whose graph found too little none.
    let must_scan = model.ann.layers.is_empty();
    let mut found = if must_scan || allowed <= SCAN_UP_TO || forbidden > FORBIDDEN_UP_TO {
        model.scan_quantized(vector, mask.iter(), k)
    } else {
        model.search(vector, k + forbidden, 0, search)
    };

    found.retain(|s| s.score > 0.0 && mask.allows(s.idx));
    found.truncate(k);
    found
}
