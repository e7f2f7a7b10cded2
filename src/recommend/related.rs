//! Lists about items, baskets and the store as a whole.

use super::list::Recommended;
use super::{cold, fill, fresh};
use crate::domain::ItemIdx;
use crate::domain::topk::Scored;
use crate::live::ItemMask;
use crate::matrix::Csr;
use crate::model::{Ranking, Snapshot, Source, Window};
use crate::sources::{self, Query, Scratch, Shelf};

/// The least cosine of two embeddings that counts as likeness: below it two items have hardly a
/// direction in common, and what the catalogue says of them says more.
const MIN_LIKENESS: f32 = 0.05;

/// Items like `item`: those that the same shoppers buy, of which some may be `fresh`, taken
/// with it since the model was trained; where they run out, its neighbours by embedding;
/// then those alike in what the catalogue says; then popular items.
pub fn similar_items(
    snapshot: &Snapshot,
    item: ItemIdx,
    limit: usize,
    fresh: &[Scored],
    shelf: &Shelf<'_>,
    scratch: &mut Scratch,
) -> Vec<Recommended> {
    shelf.mask(&mut scratch.mask);
    scratch.mask.forbid(item);
    let parts = &snapshot.parts;
    let mut list = Vec::new();
    sum_rows(&parts.similar, &[item], limit, scratch);
    take(&mut list, Source::ItemCf, limit, scratch);
    fresh::merge(&mut list, fresh, limit, &mut scratch.mask);

    if list.len() < limit && parts.embeddings.has(item) {
        let vector = parts.embeddings.vector(item);
        let Scratch { mask, search, candidates, .. } = &mut *scratch;
        *candidates = sources::nearest(&parts.embeddings, vector, limit, shelf.items, mask, search);
        // Scores are inner products: short vectors are of items that few took, not of unlike ones.
        let min = |s: &Scored| {
            let both = length(vector) * length(parts.embeddings.vector(s.idx));
            s.score >= MIN_LIKENESS * both
        };
        candidates.retain(min);
        take(&mut list, Source::Embedding, limit, scratch);
    }

    if list.len() < limit {
        cold::alike(&[item], limit, shelf, scratch);
        take(&mut list, Source::Content, limit, scratch);
    }

    fill::fill(&mut list, limit, [&parts.popularity.trending], &mut scratch.mask);
    list
}

/// Items alike to `item` in what the catalogue says; then the rest of the catalogue: all there is
/// before the first snapshot. Empty where no item is alike.
pub fn alike(
    item: ItemIdx,
    limit: usize,
    shelf: &Shelf<'_>,
    scratch: &mut Scratch,
) -> Vec<Recommended> {
    shelf.mask(&mut scratch.mask);
    scratch.mask.forbid(item);
    let mut list = Vec::new();
    cold::alike(&[item], limit, shelf, scratch);
    take(&mut list, Source::Content, limit, scratch);
    if !list.is_empty() {
        fill::fill(&mut list, limit, [], &mut scratch.mask);
    }
    list
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|x| x * x).sum::<f32>().sqrt()
}

/// Complements of a basket: what goes into the same baskets, some of it perhaps `fresh`,
/// taken with the basket's items since the model was trained; where that runs out, what the
/// same shoppers buy; then what goes with others of the categories; then popular items.
pub fn bought_together(
    snapshot: &Snapshot,
    basket: &[ItemIdx],
    limit: usize,
    fresh: &[Scored],
    shelf: &Shelf<'_>,
    scratch: &mut Scratch,
) -> Vec<Recommended> {
    shelf.mask(&mut scratch.mask);
    basket.iter().for_each(|&item| scratch.mask.forbid(item));
    let parts = &snapshot.parts;
    let mut list = Vec::new();
    sum_rows(&parts.together, basket, limit, scratch);
    take(&mut list, Source::BoughtTogether, limit, scratch);
    fresh::merge(&mut list, fresh, limit, &mut scratch.mask);
    sum_rows(&parts.similar, basket, limit, scratch);
    take(&mut list, Source::ItemCf, limit, scratch);

    if list.len() < limit {
        cold::of_categories(snapshot, basket, limit, shelf, scratch);
        take(&mut list, Source::Category, limit, scratch);
    }

    fill::fill(&mut list, limit, [&parts.popularity.trending], &mut scratch.mask);
    list
}

/// The shoppers most similar to a history, best first; scores are cosines.
pub fn similar_users(snapshot: &Snapshot, query: &Query<'_>, scratch: &mut Scratch) -> Vec<Scored> {
    query.profile(query.settings(snapshot).user_cf.weighting.profile(), scratch);
    sources::similar_users(snapshot, query, query.limit, scratch);
    scratch.candidates.clone()
}

/// The most bought items of a window; where it holds too few, those of all time.
pub fn popular(
    snapshot: &Snapshot,
    window: Window,
    limit: usize,
    shelf: &Shelf<'_>,
    scratch: &mut Scratch,
) -> Vec<Recommended> {
    let popularity = &snapshot.parts.popularity;
    let rankings = [popularity.window(window), &popularity.all_time];
    from_rankings(rankings, limit, shelf, &mut scratch.mask)
}

/// A list from rankings alone: all there is before the first snapshot.
pub fn from_rankings<'a>(
    rankings: impl IntoIterator<Item = &'a Ranking>,
    limit: usize,
    shelf: &Shelf<'_>,
    mask: &mut ItemMask,
) -> Vec<Recommended> {
    shelf.mask(mask);
    let mut list = Vec::new();
    fill::fill(&mut list, limit, rankings, mask);
    list
}

/// Sums rows of a table of neighbours into the best `k` candidates that may be offered.
fn sum_rows(table: &Csr, rows: &[ItemIdx], k: usize, scratch: &mut Scratch) {
    let Scratch { items, mask, candidates, .. } = scratch;
    if let [row] = rows {
        // Its neighbours are in order as they are.
        let (columns, scores) = table.row(*row as usize);
        let all = columns.iter().zip(scores).map(|(&idx, &score)| Scored { idx, score });
        candidates.clear();
        candidates.extend(all.filter(|s| mask.allows(s.idx)).take(k));
        return;
    }

    items.reserve(table.width);
    table.fetch(rows.iter().copied());
    for &row in rows {
        for (item, score) in table.pairs(row as usize) {
            items.add(item, score);
        }
    }
    items.drain_top(k, |item| mask.allows(item), candidates);
}

/// Moves candidates to the list, below what it holds, and off the shelf.
fn take(list: &mut Vec<Recommended>, source: Source, limit: usize, scratch: &mut Scratch) {
    let missing = limit.saturating_sub(list.len());
    let Some(best) = scratch.candidates.first().map(|s| s.score) else { return };
    let scale = list.last().map_or(1.0, |last: &Recommended| (last.score / best).min(1.0));
    for s in scratch.candidates.drain(..).take(missing) {
        scratch.mask.forbid(s.idx);
        list.push(Recommended { item: s.idx, score: s.score * scale, source });
    }
}
