//! Changes of items within a group of writes: each is applied to the item as it is by then.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use ahash::AHashMap;

use super::request::BATCH_BYTES;
use crate::domain::quote::quoted;
use crate::domain::{Item, ItemChange, ItemIdx, Result, Violation, limits};
use crate::live::{Catalogue, Shared};
use crate::store::Record;

/// The items that the group has changed so far.
pub(super) struct Edits<'g> {
    catalogue: &'g Shared<Catalogue>,
    /// Indices of the records with the items.
    written: AHashMap<ItemIdx, usize>,
    /// Availability that changed after the item was written.
    available: AHashMap<ItemIdx, bool>,
    /// Dimensions by name of the vectors of the store and of the group so far.
    vectors: RefCell<BTreeMap<String, usize>>,
}

impl<'g> Edits<'g> {
    pub(super) fn new(catalogue: &'g Shared<Catalogue>) -> Self {
        let (written, available, vectors) = Default::default();
        Self { catalogue, written, available, vectors }
    }

    /// The items of a write after its changes; `idxs`: those that are known. An item may occur
    /// several times.
    ///
    /// # Errors
    /// The first item that breaks a limit after its change, or that all are too large together.
    pub(super) fn applied(
        &self,
        changes: &'g [(String, ItemChange)],
        idxs: &[Option<ItemIdx>],
        records: &[Record<'g>],
    ) -> Result<Vec<Cow<'g, Item>>> {
        let catalogue = self.catalogue.read();
        let mut items: Vec<Cow<'g, Item>> = Vec::with_capacity(changes.len());
        let mut places: AHashMap<&str, usize> = AHashMap::new();
        let mut bytes = 0;
        for (at, ((id, change), idx)) in changes.iter().zip(idxs).enumerate() {
            let earlier = places.insert(id, at);
            if change.is_whole() {
                // A whole item was checked by the caller.
                items.push(Cow::Borrowed(&change.item));
                continue;
            }

            let before = match earlier {
                Some(place) => Some(Cow::Borrowed(&*items[place])),
                None => idx.and_then(|idx| self.before(&catalogue, idx, records)),
            };
            let item = change.applied(before.as_deref());
            let checked = change.check(&item);
            checked.map_err(|violation| violation.within(&format!("items[{at}]")))?;
            bytes += item.bytes();
            items.push(Cow::Owned(item));
        }

        self.check_vectors(&catalogue, &items)?;
        if bytes > BATCH_BYTES {
            let message =
                format!("must take at most {BATCH_BYTES} bytes after the change, take {bytes}");
            return Err(Violation::new("items", message).into());
        }
        Ok(items)
    }

    /// Checks that vectors of one name have the same number of dimensions in the whole store, and that
    /// there are not too many names.
    fn check_vectors(&self, catalogue: &Catalogue, items: &[Cow<'g, Item>]) -> Result<()> {
        let mut known: BTreeMap<String, usize> = self.vectors.borrow().clone();
        let of_shop = catalogue.corpus().vectors_of_shop();
        known.extend(of_shop.map(|(name, dimensions)| (name.to_owned(), dimensions)));
        for (at, item) in items.iter().enumerate() {
            for (name, vector) in &item.embeddings {
                let field = || format!("items[{at}].embeddings[{}]", quoted(name));
                if !known.contains_key(name) && known.len() >= limits::MAX_EMBEDDINGS {
                    let max = limits::MAX_EMBEDDINGS;
                    let message = format!("is one name too many: a store has at most {max}");
                    return Err(Violation::new(field(), message).into());
                }
                let dimensions = *known.entry(name.clone()).or_insert(vector.len());

                if vector.len() != dimensions {
                    let message = format!(
                        "must have {dimensions} values, as the store's other vectors of this name, \
                         has {}",
                        vector.len()
                    );
                    return Err(Violation::new(field(), message).into());
                }
            }
        }
        self.vectors.replace(known);
        Ok(())
    }

    /// An item after the group's changes so far.
    fn before<'a>(
        &self,
        catalogue: &'a Catalogue,
        idx: ItemIdx,
        records: &'a [Record<'g>],
    ) -> Option<Cow<'a, Item>> {
        let written = self.written.get(&idx).and_then(|&place| match &records[place] {
            Record::Item(_, item) => Some(Cow::Borrowed(&**item)),
            _ => None,
        });
        let mut item = written.or_else(|| catalogue.item(idx));
        if let Some(&available) = self.available.get(&idx) {
            item.get_or_insert_default().to_mut().available = available;
        }
        item
    }

    /// Notes that the record at an index has the item.
    pub(super) fn write(&mut self, idx: ItemIdx, place: usize) {
        self.written.insert(idx, place);
        self.available.remove(&idx);
    }

    /// Notes an item's availability; false for an item that does not exist.
    pub(super) fn set_available(&mut self, idx: ItemIdx, available: bool) -> bool {
        let is_there = self.is_there(idx);
        if is_there {
            self.available.insert(idx, available);
        }
        is_there
    }

    /// Whether an item is not deleted: a deletion ends its group, so this one has none.
    pub(super) fn is_there(&self, idx: ItemIdx) -> bool {
        self.written.contains_key(&idx) || !self.catalogue.read().is_deleted(idx)
    }
}
