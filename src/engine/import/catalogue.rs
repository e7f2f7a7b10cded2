//! Items and users from files: what a row says anew of one, the rest of which stays.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::{CHUNK, OnRefusal, Report};
use crate::domain::{Error, ItemChange, ItemField, ItemIdx, Result, User};
use crate::engine::{Engine, Write};
use crate::import::fields::breaks_a_limit;
use crate::import::{Dialect, Reader, Row, convert};

impl Engine {
    pub(super) fn import_items(
        &self,
        reader: &mut dyn Reader,
        dialect: &Dialect,
        whole: bool,
        report: &mut Report,
        on_refusal: OnRefusal<'_>,
    ) -> Result<()> {
        let mut row = Row::default();
        let mut chunk: HashMap<String, ItemChange> = HashMap::new();
        while let Some(read) = self.next_row(reader, &mut row)? {
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
            if whole && !change.says(ItemField::Available) {
                // What the catalogue names is offered, unless it says otherwise.
                change.add(ItemField::Available);
            }
            if chunk.len() == CHUNK || chunk.contains_key(&id) {
                self.write_items(&mut chunk, report)?;
            }

            let known = self.known_item(&id);
            let before = known.as_ref().and_then(|(_, item)| item.as_ref());
            let after = change.applied(before);
            if let Err(violation) = after.validate() {
                report.refuse(&row, breaks_a_limit(violation), on_refusal);
                continue;
            }
            match known {
                Some((idx, Some(item))) if *after == item => {
                    report.named.insert(idx);
                    report.know("already in the catalogue", 1);
                }
                _ => {
                    report.taken += 1;
                    chunk.insert(id, change);
                }
            }
        }
        self.write_items(&mut chunk, report)
    }

    pub(super) fn import_users(
        &self,
        reader: &mut dyn Reader,
        dialect: &Dialect,
        report: &mut Report,
        on_refusal: OnRefusal<'_>,
    ) -> Result<()> {
        let mut row = Row::default();
        let mut chunk: HashMap<String, User> = HashMap::new();
        while let Some(read) = self.next_row(reader, &mut row)? {
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
            if chunk.len() == CHUNK || chunk.contains_key(&id) {
                self.write_users(&mut chunk)?;
            }

            let idx = self.user_idx(&id);
            let before = idx.and_then(|idx| self.live().profiles.read().get(idx).cloned());
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

    /// Offers no longer what the rows of a whole catalogue did not name.
    ///
    /// # Errors
    /// [`Error::Import`] where rows were refused or none was read: they might have named it;
    /// [`Error::Storage`] where the disk refuses.
    pub fn complete_catalogue(&self, report: &mut Report) -> Result<()> {
        if report.refused_rows() > 0 || report.named.is_empty() {
            let message = "the catalogue is not complete: rows were refused, or none was read. What \
                           it names is taken in; nothing else was changed";
            return Err(Error::Import(message.to_owned()));
        }
        let gone: Vec<String> = {
            let (names, catalogue) = (self.live().items.read(), self.live().catalogue.read());
            let all = (0..names.len() as ItemIdx).collect::<RoaringBitmap>() - &report.named;
            let offered = all.iter().filter(|&idx| catalogue.may_be_offered(idx));
            offered.map(|idx| names.id(idx).to_owned()).filter(|id| !id.is_empty()).collect()
        };
        report.delisted += gone.len() as u64;
        for ids in gone.chunks(CHUNK) {
            let changes = ids.iter().map(|id| (id.clone(), ItemChange::availability(false)));
            self.submit_blocking(Write::Items(changes.collect()))?.wait()?;
        }
        Ok(())
    }

    /// An item that the store has heard of, and what the catalogue says of it.
    pub(super) fn known_item(&self, id: &str) -> Option<(ItemIdx, Option<crate::domain::Item>)> {
        let idx = self.live().item(id)?;
        Some((idx, self.live().catalogue.read().get(idx).cloned()))
    }

    /// Writes items in the order of their ids, so that an import is repeatable.
    pub(super) fn write_items(
        &self,
        chunk: &mut HashMap<String, ItemChange>,
        report: &mut Report,
    ) -> Result<()> {
        let mut items: Vec<(String, ItemChange)> = chunk.drain().collect();
        items.sort_by(|a, b| a.0.cmp(&b.0));
        let ids: Vec<String> = items.iter().map(|(id, _)| id.clone()).collect();
        while !items.is_empty() {
            let rest = items.split_off(items.len().min(CHUNK));
            self.submit_blocking(Write::Items(items))?.wait()?;
            items = rest;
        }
        report.named.extend(ids.iter().filter_map(|id| self.live().item(id)));
        Ok(())
    }

    fn write_users(&self, chunk: &mut HashMap<String, User>) -> Result<()> {
        let mut users: Vec<(String, User)> = chunk.drain().collect();
        users.sort_by(|a, b| a.0.cmp(&b.0));
        if !users.is_empty() {
            self.submit_blocking(Write::Users(users))?.wait()?;
        }
        Ok(())
    }
}
