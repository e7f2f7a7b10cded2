//! The import handle: dispatches a file by its content.

use super::catalogue::CatalogueImport;
use super::context::{Context, OnRefusal};
use super::events::EventImport;
use super::report::Report;
use crate::domain::Result;
use crate::engine::state::{State, warn_if_ahead};
use crate::engine::trainer::Trainer;
use crate::engine::write::Writer;
use crate::import::{Column, Plan, Reader};

/// The content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A log: rows are events.
    Events,
    /// Rows are items.
    Items,
    /// The whole catalogue: rows are items, and other items become unavailable.
    Catalogue,
    /// Rows are users.
    Users,
}

impl Content {
    /// Required columns of such a file.
    pub fn required(self) -> &'static [Column] {
        match self {
            Content::Events => &[Column::UserId, Column::ItemId, Column::Timestamp],
            Content::Items | Content::Catalogue => &[Column::ItemId],
            Content::Users => &[Column::UserId],
        }
    }

    /// Name of what the rows become.
    pub fn name(self) -> &'static str {
        match self {
            Content::Events => "events",
            Content::Items | Content::Catalogue => "items",
            Content::Users => "users",
        }
    }
}

/// Imports files into one store.
#[derive(Debug, Clone, Copy)]
pub struct Importer<'e> {
    context: Context<'e>,
    trainer: &'e Trainer,
}

impl<'e> Importer<'e> {
    pub(in crate::engine) fn new(
        state: &'e State,
        writer: &'e Writer,
        trainer: &'e Trainer,
    ) -> Self {
        Self { context: Context { state, writer }, trainer }
    }

    /// Imports the rows of `reader`, adding to `report`. No training starts by itself
    /// meanwhile.
    ///
    /// # Errors
    /// [`crate::domain::Error::Storage`] where the disk fails,
    /// [`crate::domain::Error::Import`] where the file breaks off,
    /// [`crate::domain::Error::ShuttingDown`] where the store closes. What was written before
    /// stays, and importing the file again continues from there.
    pub fn import(
        self,
        reader: &mut dyn Reader,
        content: Content,
        plan: &Plan,
        report: &mut Report,
        on_refusal: OnRefusal<'_>,
    ) -> Result<()> {
        let _hold = self.trainer.hold();
        let live = &self.context.state.live;
        let before = live.ahead_ms();
        let dialect = &plan.dialect;
        let catalogue = CatalogueImport::new(self.context);
        let outcome = match content {
            Content::Events => EventImport::new(self.context, plan, report).run(reader, on_refusal),
            Content::Items => catalogue.items(reader, dialect, false, report, on_refusal),
            Content::Catalogue => catalogue.items(reader, dialect, true, report, on_refusal),
            Content::Users => catalogue.users(reader, dialect, report, on_refusal),
        };

        if live.ahead_ms() > before {
            warn_if_ahead(live);
        }
        outcome
    }

    /// Marks as unavailable what the rows of a whole catalogue did not name. `whole`: whether
    /// every file of it had rows.
    ///
    /// # Errors
    /// [`crate::domain::Error::Import`] where rows were refused or none was read, since they
    /// might have named an item; [`crate::domain::Error::Storage`] where the disk fails.
    pub fn complete_catalogue(self, whole: bool, report: &mut Report) -> Result<()> {
        CatalogueImport::new(self.context).complete(whole, report)
    }
}
