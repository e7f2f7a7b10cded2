//! What a group of writes says of items, on its way to the log: each change is put on what is known
//! of its item by then.

use std::borrow::Cow;

use ahash::AHashMap;
use parking_lot::RwLock;

use super::request::BATCH_BYTES;
use crate::domain::{Item, ItemChange, ItemIdx, Result, Violation};
use crate::live::Catalogue;
use crate::store::Record;

/// What the group has said of items so far.
pub(super) struct Edits<'g> {
    catalogue: &'g RwLock<Catalogue>,
    /// Places of the records that say what an item is.
    written: AHashMap<ItemIdx, usize>,
    /// Whether an item can be bought, where that was said after it was written.
    available: AHashMap<ItemIdx, bool>,
}

impl<'g> Edits<'g> {
    pub(super) fn new(catalogue: &'g RwLock<Catalogue>) -> Self {
        Self { catalogue, written: AHashMap::new(), available: AHashMap::new() }
    }

    /// The items of a write after its changes; `idxs`: those that are known. An item may stand in
    /// it several times.
    ///
    /// # Errors
    /// The first item that breaks a limit by what is said of it, or that all are too large
    /// together.
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
                // Checked by who handed it over.
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

        if bytes > BATCH_BYTES {
            let message =
                format!("must take at most {BATCH_BYTES} bytes after the change, take {bytes}");
            return Err(Violation::new("items", message).into());
        }
        Ok(items)
    }

    /// What is known of an item after what was said so far.
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

    /// Notes that the record at a place says what an item is.
    pub(super) fn write(&mut self, idx: ItemIdx, place: usize) {
        self.written.insert(idx, place);
        self.available.remove(&idx);
    }

    /// Notes whether an item can be bought; false where there is none to say it of.
    pub(super) fn set_available(&mut self, idx: ItemIdx, available: bool) -> bool {
        let is_there = self.is_there(idx);
        if is_there {
            self.available.insert(idx, available);
        }
        is_there
    }

    /// Whether an item is not deleted: a deletion ends its group, so that none is in this one.
    pub(super) fn is_there(&self, idx: ItemIdx) -> bool {
        self.written.contains_key(&idx) || !self.catalogue.read().is_deleted(idx)
    }
}
