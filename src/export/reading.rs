//! Reads a store from its data folder, beside a server that has it open, and writes what a
//! training job needs.

use std::fs::File;
use std::path::Path;

use super::columns::{Column, Format, Table};
use super::error::ExportError;
use super::events::{EventTable, Names};
use crate::content::Reader;
use crate::domain::{DAY_MS, Offset};
use crate::live::{Live, history_event};
use crate::matrix::{Interactions, UserEvents, Weighting};
use crate::model::{Snapshot, disk};
use crate::store::{Entry, Record, StoreFolder, StoredEvent, replay, replay_beside};

/// A store as of the moment it was opened for reading, without erased users and without the events
/// of users who withdrew their consent.
#[derive(Debug)]
pub struct Reading {
    pub(super) folder: StoreFolder,
    pub(super) live: Live,
}

/// The outcome of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// The end of the log.
    pub log_offset: u64,
    /// Events up to this time were written, in milliseconds since 1970.
    pub until_ms: i64,
}

impl Reading {
    /// Reads the names and users of the store `name` in a data folder.
    ///
    /// # Errors
    /// [`ExportError::Store`] where the log is damaged or there is none.
    pub fn open(data: &Path, name: &str) -> Result<Self, ExportError> {
        let folder = StoreFolder::beside(data, name)?;
        // Histories are not needed; the minimum is kept of them.
        let (live, mut writer) = Live::new(1, Vec::new(), Reader::default());
        replay_beside(&folder.log(), folder.is_proven(), &mut |entry| {
            live.replay(&mut writer, &entry);
        })?;
        Ok(Self { folder, live })
    }

    /// Writes the log's events, in log order, without those of the last `held_out_days` days. An
    /// import reads them back.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn log(
        &self,
        file: File,
        format: Format,
        held_out_days: u32,
    ) -> Result<Written, ExportError> {
        let until_ms = self.until_ms(held_out_days);
        let mut table = EventTable::create(file, format, &self.facts(until_ms))?;
        let names = self.names();
        let mut failed = Ok(());
        self.events(until_ms, &mut |_, event| {
            if failed.is_ok() {
                failed = table.push(event, &names);
            }
        })?;

        failed?;
        Ok(Written { rows: table.finish()?, log_offset: self.live.offset(), until_ms })
    }

    /// The names of users and items, held while rows are written.
    pub(super) fn names(&self) -> Names<'_> {
        Names { users: self.live.users.read(), items: self.live.items.read() }
    }

    /// Writes the user-item matrix, a row for each cell, without the last `held_out_days` days,
    /// with the weights of an untuned training.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn matrix(
        &self,
        file: File,
        format: Format,
        held_out_days: u32,
    ) -> Result<Written, ExportError> {
        let until_ms = self.until_ms(held_out_days);
        let mut log = Vec::new();
        self.events(until_ms, &mut |_, event| {
            if event.kind.is_behaviour() {
                log.push((event.user, history_event(event)));
            }
        })?;

        let users = self.live.users.read();
        let items = self.live.items.read();
        let events = UserEvents::new(users.len(), items.len(), log);
        let matrix = Interactions::new(&events, &Weighting::default(), events.as_of_ms()).by_user;
        let columns = [
            ("user_id", Column::text()),
            ("item_id", Column::text()),
            ("weight", Column::number()),
        ];

        let mut table = Table::create(file, format, columns, &self.facts(until_ms))?;
        for user in 0..matrix.rows() {
            for (item, weight) in matrix.pairs(user) {
                let [user_id, item_id, of_cell] = table.columns();
                user_id.push_text(users.id(user as u32));
                item_id.push_text(items.id(item));
                of_cell.push_number(Some(weight.into()));
                table.end_row()?;
            }
        }
        Ok(Written { rows: table.finish()?, log_offset: self.live.offset(), until_ms })
    }

    /// Writes a kept snapshot's embeddings, neighbours and popularity in the layout of a pushed
    /// model: of a generation, or of the newest. Returns its generation.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn model(&self, file: File, generation: Option<u64>) -> Result<u64, ExportError> {
        let folder = self.folder.snapshots();
        let none = || ExportError::Nothing("there is no model yet; make one with: train".into());
        let generation = match generation {
            Some(generation) => generation,
            None => disk::list(&folder)?.first().ok_or_else(none)?.generation,
        };
        let snapshot: Snapshot = disk::load(&folder, generation)?;
        super::model::write(&snapshot, &self.live.items.read(), file)?;
        Ok(generation)
    }

    fn until_ms(&self, held_out_days: u32) -> i64 {
        self.live.newest_ms() - i64::from(held_out_days) * DAY_MS
    }

    /// Metadata for a model that is trained on the export and pushed.
    pub(super) fn facts(&self, until_ms: i64) -> [(&'static str, String); 2] {
        [("log_offset", self.live.offset().to_string()), ("trained_until", until_ms.to_string())]
    }

    /// Visits the events that leave the store, up to a time, with their offsets.
    pub(super) fn events(
        &self,
        until_ms: i64,
        visit: &mut dyn FnMut(Offset, &StoredEvent<'_>),
    ) -> Result<(), ExportError> {
        let end = self.live.offset();
        replay(&self.folder.log(), end, &mut |entry| match entry {
            Entry::Record(offset, Record::Event(event))
                if offset < end && event.time_ms <= until_ms =>
            {
                let event = StoredEvent { user: self.live.resolved(event.user), ..event };
                if self.is_exported(&event) {
                    visit(offset, &event);
                }
            }
            _ => {}
        })?;
        Ok(())
    }

    /// Whether an event leaves the store: its user and item are known, and the user consents.
    pub(super) fn is_exported(&self, event: &StoredEvent<'_>) -> bool {
        !self.live.users.read().id(event.user).is_empty()
            && !self.live.items.read().id(event.item).is_empty()
            && self.live.profiles.read().consents(event.user)
    }
}
