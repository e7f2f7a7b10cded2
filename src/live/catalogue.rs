//! Items of the catalogue, and the mask of those that may be offered, computed once for each
//! request.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;

use rayon::prelude::*;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::facets::Facets;
use super::filter::{Condition, Filter};
use super::hidden::Hidden;
use super::item_mask::ItemMask;
use crate::content::{Corpus, Document, Reader};
use crate::domain::{Item, ItemIdx, Validity};

/// The catalogue.
#[derive(Debug, Default)]
pub struct Catalogue {
    items: Vec<Option<Box<Item>>>,
    /// Bytes of all items.
    bytes: usize,
    unavailable: RoaringBitmap,
    /// Items whose names were lost.
    buried: RoaringBitmap,
    /// Items that were deleted, until they are upserted.
    deleted: RoaringBitmap,
    validity: ByTime,
    facets: Facets,
    corpus: Corpus,
    /// The sum of the items' margins, and their number.
    margins: (f64, usize),
    /// Items whose price fell at its last change.
    dropped: RoaringBitmap,
    /// Number of changes of items, beside their availability.
    changes: u64,
}

/// What is saved of a catalogue: the rest follows from the items.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedItems<'a> {
    items: Vec<(ItemIdx, Cow<'a, Item>)>,
    unavailable: Cow<'a, RoaringBitmap>,
    buried: Cow<'a, RoaringBitmap>,
    deleted: Cow<'a, RoaringBitmap>,
    dropped: Cow<'a, RoaringBitmap>,
    margins: (f64, usize),
    changes: u64,
}

/// Items by the start and the end of their validity, so that a request looks only at those outside
/// of it.
#[derive(Debug, Default)]
struct ByTime {
    from: BTreeSet<(i64, ItemIdx)>,
    until: BTreeSet<(i64, ItemIdx)>,
}

impl ByTime {
    fn add(&mut self, idx: ItemIdx, validity: Validity) {
        self.from.extend(validity.from_ms.map(|ms| (ms, idx)));
        self.until.extend(validity.until_ms.map(|ms| (ms, idx)));
    }

    fn remove(&mut self, idx: ItemIdx, validity: Validity) {
        validity.from_ms.map(|ms| self.from.remove(&(ms, idx)));
        validity.until_ms.map(|ms| self.until.remove(&(ms, idx)));
    }

    /// Items outside of their validity.
    fn invalid(&self, now_ms: i64) -> impl Iterator<Item = ItemIdx> + '_ {
        let now = (now_ms, ItemIdx::MAX);
        let yet = self.from.range((Bound::Excluded(now), Bound::Unbounded));
        yet.chain(self.until.range(..=now)).map(|&(_, idx)| idx)
    }
}

impl Catalogue {
    /// Creates or replaces an item; `document`: what is compared of it, where that changes.
    pub fn upsert(&mut self, idx: ItemIdx, item: &Item, document: Option<Document>) {
        let slot = idx as usize;
        if slot >= self.items.len() {
            self.items.resize_with(slot + 1, || None);
        }
        self.note_price(idx, item);
        self.forget(idx);
        self.changes += 1;
        self.deleted.remove(idx);
        self.facets.add(idx, item);
        document.into_iter().for_each(|document| self.corpus.insert(idx, document));
        self.validity.add(idx, item.validity);
        self.bytes += item.bytes();
        if let Some(margin) = item.margin {
            self.margins = (self.margins.0 + margin, self.margins.1 + 1);
        }
        self.items[slot] = Some(Box::new(item.clone()));
        self.set_available(idx, item.available);
    }

    /// What is to be saved.
    pub(super) fn saved(&self) -> SavedItems<'_> {
        let items = (0..).zip(&self.items);
        let items = items.filter_map(|(idx, item)| Some((idx, Cow::Borrowed(item.as_deref()?))));
        SavedItems {
            items: items.collect(),
            unavailable: Cow::Borrowed(&self.unavailable),
            buried: Cow::Borrowed(&self.buried),
            deleted: Cow::Borrowed(&self.deleted),
            dropped: Cow::Borrowed(&self.dropped),
            margins: self.margins,
            changes: self.changes,
        }
    }

    /// Restores what was saved into an empty catalogue, but for what is compared of items: see
    /// [`Catalogue::index`].
    pub(super) fn restore(&mut self, saved: SavedItems<'_>) {
        for (idx, item) in &saved.items {
            self.upsert(*idx, item, None);
        }
        self.unavailable = saved.unavailable.into_owned();
        self.buried = saved.buried.into_owned();
        self.deleted = saved.deleted.into_owned();
        self.dropped = saved.dropped.into_owned();
        // Summed in another order they would be others.
        self.margins = saved.margins;
        self.changes = saved.changes;
    }

    /// Deletes an item: it has no data and is not offered, until it is upserted.
    pub fn delete(&mut self, idx: ItemIdx) {
        self.forget(idx);
        self.changes += 1;
        self.dropped.remove(idx);
        self.corpus.remove(idx);
        self.unavailable.remove(idx);
        self.deleted.insert(idx);
    }

    /// Notes whether the price of an item falls with its new entry, or rises.
    fn note_price(&mut self, idx: ItemIdx, item: &Item) {
        let before = self.get(idx).and_then(|before| before.price);
        match (before, item.price) {
            (Some(before), Some(now)) if now < before => drop(self.dropped.insert(idx)),
            (Some(before), Some(now)) if now == before => {}
            _ => drop(self.dropped.remove(idx)),
        }
    }

    /// The average margin of the items that have one, where it is above 0.
    pub fn average_margin(&self) -> Option<f64> {
        let (sum, count) = self.margins;
        Some(sum / count as f64).filter(|average| *average > 0.0)
    }

    /// Items whose price fell at its last change.
    pub fn dropped(&self) -> RoaringBitmap {
        self.dropped.clone()
    }

    fn forget(&mut self, idx: ItemIdx) {
        if let Some(old) = self.items.get_mut(idx as usize).and_then(Option::take) {
            self.bytes -= old.bytes();
            if let Some(margin) = old.margin {
                self.margins = (self.margins.0 - margin, self.margins.1 - 1);
            }
            self.facets.remove(idx, &old);
            self.validity.remove(idx, old.validity);
        }
    }

    /// Approximate bytes of the items in memory, with what is compared of them.
    pub fn bytes(&self) -> usize {
        self.bytes + self.corpus.bytes()
    }

    /// Computes what is compared of the items, for a catalogue that was filled without.
    pub fn index(&mut self, reader: &Reader) {
        let items: Vec<(usize, &Item)> = (0..)
            .zip(&self.items)
            .filter_map(|(idx, item)| Some((idx, item.as_deref()?)))
            .collect();
        let document = |(idx, item): (usize, &Item)| (idx as ItemIdx, reader.document(item));
        let documents: Vec<_> = items.into_par_iter().map(document).collect();
        documents.into_iter().for_each(|(idx, document)| self.corpus.insert(idx, document));
    }

    /// What is compared of the items.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// Sets whether an item is available, and nothing else.
    pub fn set_available(&mut self, idx: ItemIdx, available: bool) {
        if available {
            self.unavailable.remove(idx);
        } else {
            self.unavailable.insert(idx);
        }
        if let Some(Some(item)) = self.items.get_mut(idx as usize) {
            item.available = available;
        }
    }

    /// The entry of an item, even if it only says that the item is unavailable.
    pub fn item(&self, idx: ItemIdx) -> Option<Cow<'_, Item>> {
        let sold_out = || Item { available: false, ..Item::default() };
        match self.get(idx) {
            Some(item) => Some(Cow::Borrowed(item)),
            None => self.unavailable.contains(idx).then(|| Cow::Owned(sold_out())),
        }
    }

    /// Whether an item was deleted and not upserted since.
    pub fn is_deleted(&self, idx: ItemIdx) -> bool {
        self.deleted.contains(idx)
    }

    /// Number of deleted items.
    pub fn deleted(&self) -> usize {
        self.deleted.len() as usize
    }

    /// Whether an item has an entry, or was deleted.
    pub fn knows(&self, idx: ItemIdx) -> bool {
        self.is_deleted(idx) || self.get(idx).is_some()
    }

    /// Whether an item may be offered at some time: it is neither unavailable nor deleted.
    pub fn may_be_offered(&self, idx: ItemIdx) -> bool {
        !self.unavailable.contains(idx) && !self.is_deleted(idx)
    }

    /// Marks an item without a name, lost with a file of the log, as never offered.
    pub fn bury(&mut self, idx: ItemIdx) {
        self.buried.insert(idx);
    }

    /// The entry of an item, if it was ever written.
    pub fn get(&self, idx: ItemIdx) -> Option<&Item> {
        self.items.get(idx as usize)?.as_deref()
    }

    /// Number of changes of items so far, beside their availability: two equal numbers say that nothing
    /// changed between.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Those of the first `items` items for which a condition holds.
    pub fn matching(&self, condition: &Condition, items: usize) -> Cow<'_, RoaringBitmap> {
        self.facets.matching(condition, items, "")
    }

    /// Items whose validity began after `since_ms`, up to `now_ms`.
    pub fn valid_since(&self, since_ms: i64, now_ms: i64) -> RoaringBitmap {
        let after =
            (Bound::Excluded((since_ms, ItemIdx::MAX)), Bound::Included((now_ms, ItemIdx::MAX)));
        let begun = self.validity.from.range(after);
        begun.map(|&(_, idx)| idx).collect()
    }

    /// The items of the categories of an item.
    pub fn of_categories(&self, idx: ItemIdx) -> RoaringBitmap {
        self.get(idx).map_or_else(RoaringBitmap::new, |item| self.facets.of_categories(item))
    }

    /// Forbids what a user hides.
    pub fn forbid_hidden(&self, hidden: &[Hidden], mask: &mut ItemMask) {
        for Hidden { item, scope } in hidden {
            mask.forbid(*item);
            let entry = self.get(*item);
            let with = entry.map(|item| self.facets.with(item, *scope)).unwrap_or_default();
            with.iter().for_each(|other| mask.forbid(other));
        }
    }

    /// Writes into `mask` which of the first `items` items pass the filter at a time.
    pub fn mask(&self, filter: &Filter, items: usize, now_ms: i64, mask: &mut ItemMask) {
        match &filter.condition {
            None => mask.allow_first(items),
            Some(condition) => {
                mask.allow_none(items);
                let matching = self.facets.matching(condition, items, &filter.context);
                matching.iter().for_each(|idx| mask.allow(idx));
            }
        }

        if !filter.include_unavailable {
            self.unavailable.iter().for_each(|idx| mask.forbid(idx));
            self.facets.unavailable_in(&filter.context).for_each(|idx| mask.forbid(idx));
            self.validity.invalid(now_ms).for_each(|idx| mask.forbid(idx));
        }
        self.buried.iter().chain(&self.deleted).for_each(|idx| mask.forbid(idx));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const NOW: i64 = 1_000;

    fn item(categories: &[&str], available: bool) -> Item {
        let categories = categories.iter().map(|&c| c.into()).collect();
        Item { categories, available, ..Item::default() }
    }

    fn passing(catalogue: &Catalogue, categories: &[&str], include_unavailable: bool) -> Vec<u32> {
        let any = || {
            Condition::Any(categories.iter().map(|&c| c.into()).map(Condition::Category).collect())
        };
        let condition = (!categories.is_empty()).then(any);
        let mut mask = ItemMask::default();
        let filter = Filter { condition, include_unavailable, ..Filter::default() };
        catalogue.mask(&filter, 5, NOW, &mut mask);
        assert_eq!(mask.count(), mask.iter().count());
        mask.iter().collect()
    }

    #[test]
    fn a_category_holds_those_below_it() {
        let mut catalogue = Catalogue::default();
        catalogue.upsert(0, &item(&["home/lighting"], true), None);
        catalogue.upsert(1, &item(&["home", "gifts"], true), None);
        catalogue.upsert(3, &item(&["home/lighting/lamps"], false), None);
        assert_eq!(passing(&catalogue, &[], false), [0, 1, 2, 4]);
        assert_eq!(passing(&catalogue, &["home"], false), [0, 1]);
        assert_eq!(passing(&catalogue, &["home/lighting"], true), [0, 3]);
        assert_eq!(passing(&catalogue, &["gifts", "home/lighting/lamps"], true), [1, 3]);
        assert_eq!(passing(&catalogue, &["garden"], true), [0u32; 0]);
    }

    #[test]
    fn replacing_an_item_leaves_nothing_of_the_old_one() {
        let mut catalogue = Catalogue::default();
        catalogue.upsert(2, &item(&["home/lighting"], false), None);
        catalogue.upsert(2, &item(&["garden"], true), None);
        assert_eq!(passing(&catalogue, &["home"], true), [0u32; 0]);
        assert_eq!(passing(&catalogue, &["garden"], false), [2]);
        assert_eq!(catalogue.get(2).unwrap().categories, ["garden"]);
        assert_eq!((catalogue.get(0), catalogue.get(9)), (None, None));
    }

    #[test]
    fn items_come_and_go_in_their_time() {
        let mut catalogue = Catalogue::default();
        let mut valid = |idx, from_ms, until_ms| {
            let validity = Validity { from_ms, until_ms };
            catalogue.upsert(idx, &Item { validity, ..Item::default() }, None);
        };
        valid(0, Some(NOW), None);
        valid(1, Some(NOW + 1), None);
        valid(2, None, Some(NOW));
        valid(3, Some(0), Some(NOW + 1));
        valid(4, None, Some(0));
        valid(4, None, None);
        assert_eq!(passing(&catalogue, &[], false), [0, 3, 4]);
        assert_eq!(passing(&catalogue, &[], true), [0, 1, 2, 3, 4]);
    }
}
