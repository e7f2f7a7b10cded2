//! Logs in memory, with their vocabularies: evaluation needs no store.

use std::path::Path;
use std::sync::Arc;

use crate::domain::history::basket_number;
use crate::domain::{HistoryEvent, ItemIdx, Price, UserIdx, now_ms};
use crate::import::{self, Column, ColumnMap, Row, convert};
use crate::live::Vocabulary;
use crate::matrix::UserEvents;

/// Columns that a log must have.
const REQUIRED: [Column; 3] = [Column::UserId, Column::ItemId, Column::Timestamp];

/// The events of one log or several.
#[derive(Debug, Default)]
pub struct Dataset {
    /// Users of all logs read.
    pub users: Vocabulary,
    /// Items of all logs read.
    pub items: Vocabulary,
    /// Rows that could not be read.
    pub refused: u64,
}

impl Dataset {
    /// Reads a log, in its order. Every row counts, cleaned by nothing: what
    /// cannot be read is counted in [`Dataset::refused`].
    ///
    /// # Errors
    /// Where the file cannot be opened or lacks a column.
    pub fn read(
        &mut self,
        path: &Path,
        map: &ColumnMap,
    ) -> Result<Vec<(UserIdx, HistoryEvent)>, import::ImportError> {
        let mut reader = import::open(path, map, &REQUIRED, Arc::default())?;
        let (mut row, mut log, now_ms) = (Row::default(), Vec::new(), now_ms());
        let broken = |broken: import::Broken| import::ImportError {
            path: path.to_owned(),
            what: broken.to_string(),
        };
        while let Some(read) = reader.next(&mut row).map_err(broken)? {
            match read.and_then(|()| convert::event(&row, now_ms)) {
                Ok(event) => {
                    let user = self.users.intern(&event.user_id).0;
                    let item: ItemIdx = self.items.intern(&event.item_id).0;
                    let event = HistoryEvent {
                        quantity: event.quantity as f32,
                        basket: basket_number(&event.basket_id),
                        price: Price::new(event.price),
                        ..HistoryEvent::new(event.kind, item, event.time_ms)
                    };
                    log.push((user, event));
                }
                Err(_) => self.refused += 1,
            }
        }
        Ok(log)
    }

    /// The log by users, as trainers read it, with the vocabularies as they are now.
    pub fn events(&self, log: Vec<(UserIdx, HistoryEvent)>) -> UserEvents {
        UserEvents::new(self.users.len(), self.items.len(), log)
    }
}
