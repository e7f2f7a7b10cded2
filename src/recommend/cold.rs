//! Cold start: items by their attributes, and users by what similar users take now.

use roaring::RoaringBitmap;

use super::fill;
use super::list::Recommended;
use crate::content::FieldWeights;
use crate::domain::history::{first_distinct, standing};
use crate::domain::topk::{Scored, keep_top};
use crate::domain::{EventKind, HistoryEvent, ItemIdx};
use crate::live::Trend;
use crate::matrix::weight::kind_weight;
use crate::model::{Snapshot, Source};
use crate::sources::{Query, Scratch, Shelf};

/// Newest items of a user that are used.
const NEWEST: usize = 5;
/// Similar items looked up for each; some may not be offered.
const ALIKE: usize = 500;
/// New items that are merged into a list.
const NEWCOMERS: usize = 20;
/// Most bought items of a category that represent it.
const STANDING_IN: usize = 30;

/// Writes into `scratch.candidates` the best `k` items similar to `items` that may be offered.
pub(super) fn alike(items: &[ItemIdx], k: usize, shelf: &Shelf<'_>, scratch: &mut Scratch) {
    let Scratch { items: sums, mask, candidates, .. } = scratch;
    sums.reserve(shelf.items);
    for &item in items {
        let found = shelf.catalogue.corpus().alike(item, &FieldWeights::default(), ALIKE);
        // An item written after the shelf was computed may be newer than it.
        let known = found.iter().filter(|s| (s.idx as usize) < shelf.items);
        known.for_each(|s| sums.add(s.idx, s.score));
    }
    sums.drain_top(k, |item| mask.allows(item), candidates);
}

/// The same for a user whose items the model does not know: similar to their newest items.
pub(super) fn alike_to_newest(query: &Query<'_>, scratch: &mut Scratch) {
    query.events(scratch);
    let newest = newest_taken(&scratch.events);
    alike(&newest, query.limit, &query.shelf, scratch);
}

/// Items newer than the snapshot that are alike to any of `items`, best first, with `share` times
/// their likeness as scores.
pub(super) fn newcomers(
    snapshot: &Snapshot,
    items: &[ItemIdx],
    shelf: &Shelf<'_>,
    share: f32,
) -> Vec<Scored> {
    let table = snapshot.parts.tables.get(&Source::Content);
    let known = table.map_or(0, |table| table.rows());
    if known == 0 || shelf.items <= known {
        return Vec::new();
    }

    let weights = &snapshot.manifest.settings.content.fields;
    let corpus = shelf.catalogue.corpus();
    let alike = |&item: &ItemIdx| corpus.alike_from(item, known as ItemIdx, weights, NEWCOMERS);
    let mut found: Vec<Scored> = items.iter().flat_map(alike).collect();
    // An item that is alike to several counts once, by the most alike.
    found.sort_unstable_by(|a, b| a.idx.cmp(&b.idx).then(b.score.total_cmp(&a.score)));
    found.dedup_by_key(|s| s.idx);
    found.iter_mut().for_each(|s| s.score *= share);
    keep_top(&mut found, NEWCOMERS);
    found
}

/// The same for a user's newest items. Their share is content's of all weights of the blend, so that
/// none ranks higher than one that content alone proposes.
pub(super) fn newcomers_of(
    snapshot: &Snapshot,
    query: &Query<'_>,
    scratch: &mut Scratch,
) -> Vec<Scored> {
    query.events(scratch);
    let newest = newest_taken(&scratch.events);
    let blend = query.blend(snapshot);
    let all: f32 = Source::BLENDED.into_iter().map(|source| blend.weight(source)).sum();
    let share = if all > 0.0 { blend.content / all } else { 0.0 };
    newcomers(snapshot, &newest, &query.shelf, share)
}

/// The newest items that a user took: not those that they returned, or that were only shown to them.
fn newest_taken(events: &[HistoryEvent]) -> Vec<ItemIdx> {
    let standing = standing(events);
    let is_taken = |event: &&HistoryEvent| match event.kind {
        EventKind::Purchase => standing.contains(&event.item),
        kind => kind_weight(kind) > 0.0,
    };
    first_distinct(events.iter().rev().filter(is_taken).map(|event| event.item), NEWEST)
}

/// Writes into `scratch.candidates` the best `k` items bought together with the most bought items
/// of the categories of `items`.
pub(super) fn of_categories(
    snapshot: &Snapshot,
    items: &[ItemIdx],
    k: usize,
    shelf: &Shelf<'_>,
    scratch: &mut Scratch,
) {
    let categories = items.iter().map(|&item| shelf.catalogue.of_categories(item));
    let members = categories.fold(RoaringBitmap::new(), |all, members| all | members);
    let bought = &snapshot.parts.popularity.all_time.by_item;
    let scored = members
        .iter()
        .map(|idx| Scored { idx, score: bought.get(idx as usize).copied().unwrap_or(0.0) });
    let mut standing_in: Vec<Scored> = scored.filter(|s| s.score > 0.0).collect();
    keep_top(&mut standing_in, STANDING_IN);
    let table = &snapshot.parts.together;

    let Scratch { items: sums, mask, candidates, .. } = scratch;
    sums.reserve(table.width);
    for member in standing_in {
        for (item, score) in table.pairs(member.idx as usize) {
            sums.add(item, score);
        }
    }
    sums.drain_top(k, |item| mask.allows(item), candidates);
}

/// Fills the list of a user without data from what is taken now, narrowest cohort first; returns
/// the name of the first cohort with an item to offer. What everyone takes is blended with the
/// model's ranking, by its support.
pub(super) fn taken_now(
    snapshot: &Snapshot,
    query: &Query<'_>,
    list: &mut Vec<Recommended>,
    scratch: &mut Scratch,
) -> String {
    let mut first = None;
    for trend in query.trends {
        let before = list.len();
        if trend.support >= 1.0 {
            let taken = trend.items.iter().copied();
            fill::fill_from(list, query.depth(), taken, &mut scratch.mask);
        } else {
            let missing = query.depth().saturating_sub(before);
            blend_with_model(snapshot, trend, missing, query.shelf.items, scratch);
            let blended = std::mem::take(&mut scratch.candidates);
            fill::fill_from(list, query.depth(), blended.iter().copied(), &mut scratch.mask);
            scratch.candidates = blended;
        }

        if first.is_none() && list.len() > before {
            first = Some(trend.cohort.clone());
        }
    }
    first.unwrap_or_default()
}

/// Writes into `scratch.candidates` the best `k` items by support · (what is taken now) +
/// (1 − support) · (the model's ranking), each scaled to a maximum of 1.
fn blend_with_model(
    snapshot: &Snapshot,
    trend: &Trend,
    k: usize,
    items: usize,
    scratch: &mut Scratch,
) {
    let Scratch { items: sums, mask, candidates, .. } = scratch;
    sums.reserve(items);
    for taken in trend.items.iter().filter(|taken| (taken.idx as usize) < items) {
        sums.add(taken.idx, trend.support * taken.score);
    }

    let ranking = &snapshot.parts.popularity.trending;
    let best = ranking.scores.first().copied().unwrap_or(1.0);
    let offered = ranking.iter().filter(|ranked| mask.allows(ranked.idx));
    for ranked in offered.take(k + trend.items.len()) {
        sums.add(ranked.idx, (1.0 - trend.support) * ranked.score / best);
    }
    sums.drain_top(k, |item| mask.allows(item), candidates);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_returned_or_only_shown_is_not_taken() {
        let event = |kind, item, time_ms| HistoryEvent::new(kind, item, time_ms);
        let events = [
            event(EventKind::Purchase, 1, 1),
            event(EventKind::Purchase, 2, 2),
            event(EventKind::View, 3, 3),
            event(EventKind::Refund, 2, 4),
            event(EventKind::Refund, 4, 5),
            event(EventKind::Impression, 5, 6),
            event(EventKind::Hide, 6, 7),
        ];
        assert_eq!(newest_taken(&events), [3, 1]);
        assert!(newest_taken(&events[3..]).is_empty());
    }
}
