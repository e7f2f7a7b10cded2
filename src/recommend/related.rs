//! Related lists: similar items, complements of a basket, similar users, popular items. Rules hold in
//! those of items as in personalised ones.

use super::list::Recommended;
use super::{cold, fill, fresh, rules};
use crate::domain::ItemIdx;
use crate::domain::topk::Scored;
use crate::live::ItemMask;
use crate::matrix::Csr;
use crate::model::{Popularity, Ranking, Snapshot, Source, Window};
use crate::sources::{self, Query, Scratch, Shelf};

/// Minimum cosine of similar items: below it the attributes of items are the better evidence.
const MIN_LIKENESS: f32 = 0.05;

/// Items similar to `item`: bought by the same users, merged with `fresh` pairs since the model was
/// trained; then its neighbours by embedding; then items with similar attributes; then popular
/// items.
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
    let length = limit;
    let limit = shelf.depth(length);
    let parts = &snapshot.parts;
    let mut list = Vec::new();
    sum_rows(&parts.similar, &[item], limit, scratch);
    take(&mut list, Source::ItemCf, limit, scratch);
    fresh::merge(&mut list, fresh, Source::Fresh, limit, &mut scratch.mask);
    let new = cold::newcomers(snapshot, &[item], shelf, 1.0);
    fresh::merge(&mut list, &new, Source::Content, limit, &mut scratch.mask);

    if list.len() < limit && parts.embeddings.has(item) {
        let vector = parts.embeddings.vector(item);
        let Scratch { mask, search, candidates, .. } = &mut *scratch;
        *candidates = sources::nearest(&parts.embeddings, vector, limit, mask, search);
        // Scores are inner products: short vectors belong to items with few users, not to
        // dissimilar ones.
        let min = |s: &Scored| {
            let both = norm(vector) * norm(parts.embeddings.vector(s.idx));
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
    rules::steered(shelf, length, &parts.popularity, list, &scratch.mask)
}

/// Items with attributes similar to `item`; then the rest of the catalogue: all there is before the
/// first snapshot. Empty where no item is similar.
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
    rules::steered(shelf, limit, &Popularity::default(), list, &scratch.mask)
}

fn norm(vector: &[f32]) -> f32 {
    vector.iter().map(|x| x * x).sum::<f32>().sqrt()
}

/// Complements of a basket: bought in the same baskets, merged with `fresh` pairs since the model
/// was trained; then items bought by the same users; then items bought with others of the
/// categories; then popular items.
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
    let length = limit;
    let limit = shelf.depth(length);
    let parts = &snapshot.parts;
    let mut list = Vec::new();
    sum_rows(&parts.together, basket, limit, scratch);
    take(&mut list, Source::BoughtTogether, limit, scratch);
    fresh::merge(&mut list, fresh, Source::Fresh, limit, &mut scratch.mask);
    sum_rows(&parts.similar, basket, limit, scratch);
    take(&mut list, Source::ItemCf, limit, scratch);

    if list.len() < limit {
        cold::of_categories(snapshot, basket, limit, shelf, scratch);
        take(&mut list, Source::Category, limit, scratch);
    }

    fill::fill(&mut list, limit, [&parts.popularity.trending], &mut scratch.mask);
    rules::steered(shelf, length, &parts.popularity, list, &scratch.mask)
}

/// The users most similar to a history, best first; scores are cosines.
pub fn similar_users(snapshot: &Snapshot, query: &Query<'_>, scratch: &mut Scratch) -> Vec<Scored> {
    query.profile(query.settings(snapshot).user_cf.weighting.profile(), scratch);
    sources::similar_users(snapshot, query, query.limit, scratch);
    scratch.candidates.clone()
}

/// The most bought items of a window; then those of all time.
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
    fill::fill(&mut list, shelf.depth(limit), rankings, mask);
    rules::steered(shelf, limit, &Popularity::default(), list, mask)
}

/// Sums rows of a table of neighbours into the best `k` candidates that may be offered.
fn sum_rows(table: &Csr, rows: &[ItemIdx], k: usize, scratch: &mut Scratch) {
    let Scratch { items, mask, candidates, .. } = scratch;
    if let [row] = rows {
        // A single row is sorted already.
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

/// Moves candidates to the list, below its entries, and off the shelf.
fn take(list: &mut Vec<Recommended>, source: Source, limit: usize, scratch: &mut Scratch) {
    let missing = limit.saturating_sub(list.len());
    let Some(best) = scratch.candidates.first().map(|s| s.score) else { return };
    let scale = list.last().map_or(1.0, |last: &Recommended| (last.score / best).min(1.0));
    for s in scratch.candidates.drain(..).take(missing) {
        scratch.mask.forbid(s.idx);
        list.push(Recommended { item: s.idx, score: s.score * scale, source });
    }
}
