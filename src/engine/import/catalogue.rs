//! Imports items and users: each row changes the fields it has, the others stay.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::context::{CHUNK, Context, OnRefusal};
use super::report::Report;
use crate::domain::{Error, Item, ItemChange, ItemField, ItemIdx, Result, User};
use crate::engine::write::Write;
use crate::import::fields::breaks_a_limit;
use crate::import::{Column, Dialect, Reader, Row, convert, notice};

/// Imports items and users.
pub(super) struct CatalogueImport<'e> {
    context: Context<'e>,
}

impl<'e> CatalogueImport<'e> {
    pub(super) fn new(context: Context<'e>) -> Self {
        Self { context }
    }

    /// Imports items; `whole`: items in the file become available where no column says otherwise.
    pub(super) fn items(
        &self,
        reader: &mut dyn Reader,
        dialect: &Dialect,
        whole: bool,
        report: &mut Report,
        on_refusal: OnRefusal<'_>,
    ) -> Result<()> {
        report.notices.extend(notice::of_unread(&reader.unread()));
        let mut row = Row::default();
        let mut chunk: Vec<(String, ItemChange)> = Vec::new();

        // Items of earlier rows, and whether one of them is available.
        let mut met: HashMap<String, bool> = HashMap::new();
        // The chunk's items after their changes.
        let mut pending: HashMap<String, Item> = HashMap::new();

        while let Some(read) = self.context.next_row(reader, &mut row)? {
            report.rows += 1;
            let item = read.and_then(|()| convert::item(&row, dialect));
            let (id, mut change) = match item {
                Ok(item) => {
                    report.drop_fields(&row, item.dropped, on_refusal);
                    item.value
                }
                Err(refusal) => {
                    report.refuse(&row, refusal, on_refusal);
                    continue;
                }
            };

            add_to_variants(&mut met, &id, &mut change);
            if whole && !row.is_in_file(Column::Available) {
                // An item of the whole catalogue is available, where no column says otherwise.
                change.add(ItemField::Available);
            }

            if chunk.len() == CHUNK {
                pending.clear();
                self.write_items(&mut chunk, report)?;
            }

            let (idx, known) = self.known_item(&id);
            let before = pending.get(&id).or(known.as_ref());
            let mut after = change.applied(before);
            if let Err(violation) = after.validity.validate() {
                // Together with its stored fields, the item would never be valid; the other fields
                // are kept.
                report.drop_fields(&row, vec![breaks_a_limit(violation)], on_refusal);
                change.remove(ItemField::ValidFrom);
                change.remove(ItemField::ValidUntil);
                after = change.applied(before);
            }

            if let Err(violation) = change.check(&after) {
                report.refuse(&row, breaks_a_limit(violation), on_refusal);
            } else if before == Some(&after) {
                report.named.extend(idx);
                report.know("already in the catalogue", 1);
            } else {
                report.taken += 1;
                pending.insert(id.clone(), after);
                chunk.push((id, change));
            }
        }
        self.write_items(&mut chunk, report)
    }

    /// Imports users.
    pub(super) fn users(
        &self,
        reader: &mut dyn Reader,
        dialect: &Dialect,
        report: &mut Report,
        on_refusal: OnRefusal<'_>,
    ) -> Result<()> {
        report.notices.extend(notice::of_unread(&reader.unread()));
        let mut row = Row::default();
        let mut chunk: HashMap<String, User> = HashMap::new();
        while let Some(read) = self.context.next_row(reader, &mut row)? {
            report.rows += 1;
            let user = read.and_then(|()| convert::user(&row, dialect));
            let (id, change) = match user {
                Ok(user) => {
                    report.drop_fields(&row, user.dropped, on_refusal);
                    user.value
                }
                Err(refusal) => {
                    report.refuse(&row, refusal, on_refusal);
                    continue;
                }
            };

            if chunk.len() == CHUNK {
                self.write_users(&mut chunk)?;
            }

            let known = self.context.state.user_idx(&id);
            let known =
                known.and_then(|idx| self.context.state.live.profiles.read().get(idx).cloned());
            let before = chunk.get(&id).cloned().or(known);
            let after = change.applied(before.as_ref());
            if let Err(violation) = after.validate() {
                report.refuse(&row, breaks_a_limit(violation), on_refusal);
            } else if before.as_ref() == Some(&after) {
                report.know("already known", 1);
            } else {
                report.taken += 1;
                chunk.insert(id, after);
            }
        }
        self.write_users(&mut chunk)
    }

    /// Marks as unavailable what the rows of a catalogue did not name, if it is `whole`: if every
    /// file of it had rows.
    ///
    /// # Errors
    /// [`Error::Import`] where rows were refused or none was read, since they might have named an
    /// item; [`Error::Storage`] where the disk fails.
    pub(super) fn complete(&self, whole: bool, report: &mut Report) -> Result<()> {
        if !whole || report.refused_rows() > 0 || report.named.is_empty() {
            let message = "the catalogue is not complete: rows were refused, or a file has none. \
                           Its items were imported; nothing else was changed";
            return Err(Error::Import(message.into()));
        }

        let gone: Vec<String> = {
            let names = self.context.state.live.items.read();
            let catalogue = self.context.state.live.catalogue.read();
            let all = (0..names.len() as ItemIdx).collect::<RoaringBitmap>() - &report.named;
            let offered = all.iter().filter(|&idx| catalogue.may_be_offered(idx));
            offered.map(|idx| names.id(idx).to_owned()).filter(|id| !id.is_empty()).collect()
        };

        report.delisted += gone.len() as u64;
        for ids in gone.chunks(CHUNK) {
            self.context
                .writer
                .submit_blocking(Write::Availability(ids.to_vec(), false))?
                .wait()?;
        }
        Ok(())
    }

    /// An item's idx, if the store knows it, and its catalogue entry.
    fn known_item(&self, id: &str) -> (Option<ItemIdx>, Option<Item>) {
        let idx = self.context.state.live.item(id);
        let item = idx
            .and_then(|idx| Some(self.context.state.live.catalogue.read().item(idx)?.into_owned()));
        (idx, item)
    }

    /// Writes items in the order of their ids, so that an import is repeatable; rows of one item
    /// keep their order.
    pub(super) fn write_items(
        &self,
        chunk: &mut Vec<(String, ItemChange)>,
        report: &mut Report,
    ) -> Result<()> {
        let mut items = std::mem::take(chunk);
        items.sort_by(|a, b| a.0.cmp(&b.0));
        while !items.is_empty() {
            let rest = items.split_off(items.len().min(CHUNK));
            let ids: Vec<String> = items.iter().map(|(id, _)| id.clone()).collect();
            self.context.writer.submit_blocking(Write::Items(items))?.wait()?;
            report.named.extend(ids.iter().filter_map(|id| self.context.state.live.item(id)));
            items = rest;
        }
        Ok(())
    }

    fn write_users(&self, chunk: &mut HashMap<String, User>) -> Result<()> {
        let mut users: Vec<(String, User)> = chunk.drain().collect();
        users.sort_by(|a, b| a.0.cmp(&b.0));
        if !users.is_empty() {
            self.context.writer.submit_blocking(Write::Users(users))?.wait()?;
        }
        Ok(())
    }
}

/// Merges the rows of one item, its variants: each adds to those before it, and one available
/// variant is enough. `met`: items of earlier rows, and whether one of them is available.
fn add_to_variants(met: &mut HashMap<String, bool>, id: &str, change: &mut ItemChange) {
    let can_be_bought = change.says(ItemField::Available) && change.item.available;
    let Some(earlier) = met.get_mut(id) else {
        met.insert(id.to_owned(), can_be_bought);
        return;
    };
    change.remove_empty();
    if *earlier {
        change.remove(ItemField::Available);
    }
    *earlier |= can_be_bought;
}
