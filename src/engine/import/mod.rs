//! Imports: rows become events, items or users in chunks, each written whole.
//!
//! - [`events`]: logs, each chunk with a digest by which it is known again
//! - [`described`]: what a log says of its items
//! - [`catalogue`]: items and users
//! - [`report`]: what came of it

mod catalogue;
mod described;
mod events;
pub mod report;

pub use report::Report;

use super::Engine;
use crate::domain::{Error, Result};
use crate::import::{Column, Plan, Reader, Refusal, Row};
use events::EventImport;

/// Events, items or users of a chunk.
const CHUNK: usize = 8_192;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A log: rows are events.
    Events,
    /// Rows are items.
    Items,
    /// The whole catalogue: rows are items, and what none names is offered no longer.
    Catalogue,
    /// Rows are users.
    Users,
}

impl Content {
    /// Columns that such a file must have.
    pub fn required(self) -> &'static [Column] {
        match self {
            Content::Events => &[Column::UserId, Column::ItemId, Column::Timestamp],
            Content::Items | Content::Catalogue => &[Column::ItemId],
            Content::Users => &[Column::UserId],
        }
    }

    /// What the rows become.
    pub fn name(self) -> &'static str {
        match self {
            Content::Events => "events",
            Content::Items | Content::Catalogue => "items",
            Content::Users => "users",
        }
    }
}

/// Told of every row that is refused, and of every field that is dropped from one.
pub type OnRefusal<'a> = &'a mut dyn FnMut(&Row, &Refusal);

impl Engine {
    /// Imports what `reader` reads, adding to `report`.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk refuses, [`Error::Import`] where the file
    /// breaks off; what was written before stays, and importing again goes on
    /// from there.
    pub fn import(
        &self,
        reader: &mut dyn Reader,
        content: Content,
        plan: &Plan,
        report: &mut Report,
        on_refusal: OnRefusal<'_>,
    ) -> Result<()> {
        let _hold = self.trainer().hold();
        let before = self.live().ahead_ms();
        let outcome = match content {
            Content::Events => EventImport::new(self, plan, report).run(reader, on_refusal),
            Content::Items | Content::Catalogue => {
                let whole = content == Content::Catalogue;
                self.import_items(reader, &plan.dialect, whole, report, on_refusal)
            }
            Content::Users => self.import_users(reader, &plan.dialect, report, on_refusal),
        };
        if self.live().ahead_ms() > before {
            super::warn_if_ahead(self.live());
        }
        outcome
    }

    /// The next row, unless the file is broken or the store is closing.
    fn next_row(
        &self,
        reader: &mut dyn Reader,
        row: &mut Row,
    ) -> Result<Option<std::result::Result<(), Refusal>>> {
        if self.is_closing() {
            return Err(Error::Import("stopped: the store is closing".to_owned()));
        }
        reader.next(row).map_err(|broken| Error::Import(broken.to_string()))
    }
}
