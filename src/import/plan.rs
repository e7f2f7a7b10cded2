//! The plan for reading a log: its dialect, cleaning, and excluded items.

use std::collections::HashSet;
use std::path::Path;

use super::convert::{self, Converted, EventRow, NoEvent};
use super::preset::RowDecision;
use super::{Column, Dialect, ImportError, Preset, Row, date_order, identity};
use crate::domain::Event;

/// The plan.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The dialect.
    pub dialect: Dialect,
    /// Cleaning for a known log.
    pub preset: Option<Preset>,
    /// Items of which no row is taken.
    pub excluded_items: HashSet<String>,
    /// Users of which no row is taken.
    pub excluded_users: HashSet<String>,
    /// Times that are taken, in milliseconds since 1970: from the first on, before the second.
    pub times: (Option<i64>, Option<i64>),
    /// Whether rows that repeat another of the same file are left out.
    pub drop_duplicates: bool,
    /// Whether ids that differ by spaces, case or leading zeros are one.
    pub unify_ids: bool,
}

impl Plan {
    /// The plan for a known log, with its columns and its cleaning.
    pub fn preset(preset: Preset) -> Self {
        let dialect = Dialect::of_columns(preset.columns());
        Self { dialect, preset: Some(preset), ..Self::default() }
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
        let mut converted = convert::event(row, &self.dialect, now_ms)?;
        let event = &mut converted.value.event;
        let given = self.left_out(event);
        if self.unify_ids {
            event.user_id = identity::unified(&event.user_id);
            event.item_id = identity::unified(&event.item_id);
        }

        // Both spellings of an id leave it out.
        match given.or_else(|| self.left_out(event)) {
            Some(reason) => Err(NoEvent::Skipped(reason.to_owned())),
            None => Ok(converted),
        }
    }

    /// The option that leaves out an event; none where it is taken.
    fn left_out(&self, event: &Event) -> Option<&'static str> {
        let (since, until) = self.times;
        if self.excluded_items.contains(&event.item_id) {
            Some("item of --exclude-items")
        } else if self.excluded_users.contains(&event.user_id) {
            Some("user of --exclude-users")
        } else if since.is_some_and(|since| event.time_ms < since) {
            Some("before --since")
        } else if until.is_some_and(|until| event.time_ms >= until) {
            Some("from --until on")
        } else {
            None
        }
    }

    /// Whether a row that repeats another of the same file is dropped.
    pub fn drops_duplicates(&self) -> bool {
        self.drop_duplicates || self.preset.is_some_and(Preset::drops_duplicates)
    }
}
