//! The candidate sources. Each writes its best allowed items, best first, into
//! `scratch.candidates`, from the profile in `scratch.profile`.

use super::{Query, Scratch};
use crate::model::{Snapshot, Source};

/// Embeddings of catalogues up to this size are scanned whole: exact, and no
/// slower than the graph.
const SCAN_UP_TO: usize = 1_000;
/// With more items forbidden than this, a search in the graph would mostly find
/// what may not be offered.
const FORBIDDEN_UP_TO: usize = 1_000;

/// Runs one source for its best `k`.
pub(super) fn propose(
    snapshot: &Snapshot,
    source: Source,
    query: &Query<'_>,
    k: usize,
    scratch: &mut Scratch,
) {
    match source {
        Source::ItemCf => item_cf(snapshot, k, scratch),
        Source::UserCf => user_cf(snapshot, query, k, scratch),
        Source::Embedding => embedding(snapshot, query, k, scratch),
        Source::Popular => popular(snapshot, k, scratch),
        // Not sources of the blend: they come in where a list is filled or asked for by name.
        Source::Catalog | Source::BoughtTogether => scratch.candidates.clear(),
    }
}

/// score_j = Σ_i x_i W_ij.
fn item_cf(snapshot: &Snapshot, k: usize, scratch: &mut Scratch) {
    let table = &snapshot.parts.item_cf;
    let Scratch { profile, items, mask, candidates, .. } = scratch;
    items.reserve(table.width);
    for cell in profile.iter() {
        for (item, weight) in table.pairs(cell.item as usize) {
            items.add(item, cell.weight * weight);
        }
    }
    items.drain_top(k, |item| mask.allows(item), candidates);
}

/// score_j = Σ over the most similar users v of sim^power · D_v^-½ · x_vj.
fn user_cf(snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
    let model = &snapshot.parts.user_cf;
    let settings = &snapshot.manifest.settings.user_cf;
    similar_users(snapshot, query, settings.neighbours, scratch);
    let Scratch { items, mask, candidates, .. } = scratch;
    items.reserve(model.by_user.width);
    for neighbour in candidates.drain(..) {
        let user = neighbour.idx as usize;
        let degree = model.by_user.degree(user) as f32;
        let says = neighbour.score.powf(settings.power) / degree.sqrt();
        for (item, weight) in model.by_user.pairs(user) {
            items.add(item, says * weight);
        }
    }
    items.drain_top(k, |item| mask.allows(item), candidates);
}

/// The `k` users most similar to the profile, by the cosine of item-normalised
/// rows, best first; the shopper is not their own neighbour.
pub(super) fn similar_users(
    snapshot: &Snapshot,
    query: &Query<'_>,
    k: usize,
    scratch: &mut Scratch,
) {
    let model = &snapshot.parts.user_cf;
    let Scratch { profile, users, candidates, .. } = scratch;
    users.reserve(model.by_user.rows());
    let mut squares = 0.0;
    for cell in profile.iter() {
        let Some(&norm) = model.item_norm.get(cell.item as usize) else { continue };
        squares += cell.weight * cell.weight * norm;
        let weight = cell.weight * norm;
        for (user, x) in model.newest_by_item.pairs(cell.item as usize) {
            users.add(user, weight * x * model.user_norm[user as usize]);
        }
    }
    users.drain_top(k, |user| Some(user) != query.user, candidates);
    let own_norm = if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 };
    candidates.iter_mut().for_each(|c| c.score = (c.score * own_norm).min(1.0));
}

/// score_j = ⟨q, y_j⟩ with q folded in from the profile.
fn embedding(snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
    let model = &snapshot.parts.embeddings;
    let Scratch { profile, mask, candidates, query: vector, visited, .. } = scratch;
    vector.clear();
    vector.resize(model.dimensions, 0.0);
    for cell in profile.iter() {
        model.fold_in(cell.item, cell.weight, vector);
    }
    let allowed = mask.count();
    let forbidden = query.shelf.items.saturating_sub(allowed);
    *candidates = if allowed <= SCAN_UP_TO || forbidden > FORBIDDEN_UP_TO {
        model.scan(vector, mask.iter(), k)
    } else {
        let mut found = model.search(vector, k + forbidden, 0, visited);
        found.retain(|s| mask.allows(s.idx));
        found.truncate(k);
        found
    };
    candidates.retain(|s| s.score > 0.0);
}

/// Popular now, the same for everyone.
fn popular(snapshot: &Snapshot, k: usize, scratch: &mut Scratch) {
    let Scratch { mask, candidates, .. } = scratch;
    candidates.clear();
    let trending = snapshot.parts.popularity.trending.iter();
    candidates.extend(trending.filter(|s| mask.allows(s.idx)).take(k));
}
