//! Where the model knows nothing: items by what the catalogue says of them, and shoppers by
//! what is taken now by those who are like them.

use roaring::RoaringBitmap;

use super::{Query, Recommended, Scratch, Shelf, fill};
use crate::domain::ItemIdx;
use crate::domain::history::first_distinct;
use crate::domain::topk::{Scored, keep_top};
use crate::live::ItemMask;
use crate::model::Snapshot;

/// Newest items of a shopper that are looked at.
const NEWEST: usize = 5;
/// Items alike that are looked at of each; some may not be offered.
const ALIKE: usize = 500;
/// Most bought items of a category that stand for an item of it.
const STANDING_IN: usize = 30;

/// Writes into `scratch.candidates` the best `k` items alike to `items` that may be offered.
pub(super) fn alike(items: &[ItemIdx], k: usize, shelf: &Shelf<'_>, scratch: &mut Scratch) {
    let Scratch { items: sums, mask, candidates, .. } = scratch;
    sums.reserve(shelf.items);
    for &item in items {
        let found = shelf.catalogue.alike(item, shelf.items, ALIKE);
        // Written between two looks at the catalogue, an item may be newer than the shelf.
        let known = found.iter().filter(|s| (s.idx as usize) < shelf.items);
        known.for_each(|s| sums.add(s.idx, s.score));
    }
    sums.drain_top(k, |item| mask.allows(item), candidates);
}

/// The same for a shopper of whom the model knows no item: alike to the newest of theirs.
pub(super) fn alike_to_newest(query: &Query<'_>, scratch: &mut Scratch) {
    query.events(scratch);
    let newest = first_distinct(scratch.events.iter().rev().map(|e| e.item), NEWEST);
    alike(&newest, query.limit, &query.shelf, scratch);
}

/// Writes into `scratch.candidates` the best `k` items that go into the same baskets as the
/// most bought items of the categories that `items` are in.
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

/// Fills the list of a shopper of whom nothing is known from what is taken now, the
/// narrowest cohort first; returns the name of the first that had something to offer.
pub(super) fn taken_now(
    query: &Query<'_>,
    list: &mut Vec<Recommended>,
    mask: &mut ItemMask,
) -> String {
    let mut first = None;
    for trend in query.trends {
        let before = list.len();
        fill::fill_from(list, query.limit, trend.items.iter().copied(), mask);
        if first.is_none() && list.len() > before {
            first = Some(trend.cohort.clone());
        }
    }
    first.unwrap_or_default()
}
