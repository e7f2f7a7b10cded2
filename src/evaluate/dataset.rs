//! Logs in memory with their vocabularies: evaluation needs no store.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::content::Reader;
use crate::domain::history::basket_number;
use crate::domain::{HistoryEvent, Item, ItemIdx, Price, UserIdx, Validity, now_ms};
use crate::import::convert::NoEvent;
use crate::import::{self, Column, Dialect, Plan, Row, convert, identity};
use crate::live::{Catalogue, Vocabulary};
use crate::matrix::UserEvents;

/// Required columns of a log.
const REQUIRED: [Column; 3] = [Column::UserId, Column::ItemId, Column::Timestamp];

/// The events of one log or several.
#[derive(Debug, Default)]
pub struct Dataset {
    /// Users of all logs read.
    pub users: Vocabulary,
    /// Items of all logs read.
    pub items: Vocabulary,
}

/// One log.
#[derive(Debug, Default)]
pub struct Log {
    /// Its events, in its order.
    pub events: Vec<(UserIdx, HistoryEvent)>,
    /// Rows without an event, by reason.
    pub left_out: BTreeMap<String, u64>,
}

impl Dataset {
    /// Reads a log, in its order.
    ///
    /// # Errors
    /// Where the file cannot be opened or lacks a column.
    pub fn read(&mut self, path: &Path, plan: &Plan) -> Result<Log, import::ImportError> {
        let plan = plan.proven(path, &REQUIRED)?;
        let mut reader = import::open(path, &plan.dialect, &REQUIRED, Arc::default())?;
        let mut log = Log::default();
        let mut seen = HashSet::new();
        let mut row = Row::default();
        let mut bytes = Vec::new();
        let now_ms = now_ms();
        let broken = |broken: import::Broken| import::ImportError {
            path: path.to_owned(),
            what: broken.to_string(),
        };

        while let Some(read) = reader.next(&mut row).map_err(broken)? {
            let event = read.map_err(NoEvent::Refused).and_then(|()| {
                let event = plan.event(&mut row, now_ms)?.value.event;
                if plan.drops_duplicates() && !seen.insert(identity::hash(&event, &mut bytes)) {
                    return Err(NoEvent::Skipped("duplicate of another line".to_owned()));
                }
                Ok(event)
            });
            match event {
                Ok(event) => {
                    let user = self.users.intern(&event.user_id).0;
                    let item: ItemIdx = self.items.intern(&event.item_id).0;
                    let event = HistoryEvent {
                        quantity: event.quantity as f32,
                        basket: basket_number(&event.basket_id),
                        price: Price::new(event.price),
                        ..HistoryEvent::new(event.kind, item, event.time_ms)
                    };
                    log.events.push((user, event));
                }
                Err(NoEvent::Skipped(reason)) => {
                    *log.left_out.entry(format!("skipped: {reason}")).or_default() += 1;
                }
                Err(NoEvent::Refused(refusal)) => {
                    *log.left_out.entry(refusal.to_string()).or_default() += 1;
                }
            }
        }
        Ok(log)
    }

    /// Reads a catalogue, whose items join the vocabulary; `documents` reads what is compared of them.
    /// Returns it and the number of rows that were refused. All its items may be offered: what is sold out today says nothing of the log's time.
    ///
    /// # Errors
    /// Where the file cannot be opened or lacks a column.
    pub fn catalogue(
        &mut self,
        path: &Path,
        dialect: &Dialect,
        documents: &Reader,
    ) -> Result<(Catalogue, u64), import::ImportError> {
        let mut items: BTreeMap<ItemIdx, Item> = BTreeMap::new();
        let mut refused = 0;
        let mut reader = import::open(path, dialect, &[Column::ItemId], Arc::default())?;
        let mut row = Row::default();
        let broken = |broken: import::Broken| import::ImportError {
            path: path.to_owned(),
            what: broken.to_string(),
        };

        while let Some(read) = reader.next(&mut row).map_err(broken)? {
            let Ok(item) = read.and_then(|()| convert::item(&row, dialect)) else {
                refused += 1;
                continue;
            };
            let (id, change) = item.value;
            let idx = self.items.intern(&id).0;
            let before = items.remove(&idx);
            items.insert(idx, change.applied(before.as_ref()));
        }

        let mut catalogue = Catalogue::default();
        for (idx, item) in items {
            let item = Item { available: true, validity: Validity::default(), ..item };
            catalogue.upsert(idx, &item, Some(documents.document(&item)));
        }
        Ok((catalogue, refused))
    }

    /// The log grouped by user, as trainers read it, with the current vocabularies.
    pub fn events(&self, log: Vec<(UserIdx, HistoryEvent)>) -> UserEvents {
        UserEvents::new(self.users.len(), self.items.len(), log)
    }
}
