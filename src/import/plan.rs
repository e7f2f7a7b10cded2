//! The plan for reading a log: its dialect, cleaning, and excluded items.

use std::collections::HashSet;
use std::path::Path;

use super::convert::{self, Converted, EventRow, NoEvent};
use super::preset::RowDecision;
use super::{Column, Dialect, ImportError, Preset, Row, date_order};

/// The plan.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The dialect.
    pub dialect: Dialect,
    /// Cleaning for a known log.
    pub preset: Option<Preset>,
    /// Items of which no row is taken.
    pub excluded_items: HashSet<String>,
}

impl Plan {
    /// The plan for a known log, with its columns and its cleaning.
    pub fn preset(preset: Preset) -> Self {
        let dialect = Dialect::of_columns(preset.columns());
        Self { dialect, preset: Some(preset), excluded_items: HashSet::new() }
    }

    /// The plan with the order of day and month that a file's rows prove.
    ///
    /// # Errors
    /// Where the file cannot be opened, or lacks one of the `required` columns.
    pub fn proven(&self, path: &Path, required: &[Column]) -> Result<Self, ImportError> {
        let dialect = date_order::proven(path, &self.dialect, required)?;
        Ok(Self { dialect, ..self.clone() })
    }

    /// Cleans a row and converts it to an event.
    ///
    /// # Errors
    /// Why there is none.
    pub fn event<'a>(
        &'a self,
        row: &'a mut Row,
        now_ms: i64,
    ) -> Result<Converted<EventRow<'a>>, NoEvent> {
        if let Some(preset) = self.preset
            && let RowDecision::Skip(reason) = preset.clean(row, &self.dialect)
        {
            return Err(NoEvent::Skipped(reason.to_owned()));
        }
        let converted = convert::event(row, &self.dialect, now_ms)?;
        if self.excluded_items.contains(&converted.value.event.item_id) {
            return Err(NoEvent::Skipped("item of --exclude-items".to_owned()));
        }
        Ok(converted)
    }

    /// Whether a row that repeats another of the same file is dropped.
    pub fn drops_duplicates(&self) -> bool {
        self.preset.is_some_and(Preset::drops_duplicates)
    }
}
