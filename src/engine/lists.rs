//! Lists made ahead for a model that came without: the very first one, which answers as soon as it
//! is trained, and one that was read from disk so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::trainer::Worker;
use super::{erasure, training};
use crate::domain::progress::Control;
use crate::domain::{Error, Result};
use crate::model::Snapshot;
use crate::recommend::{self, RepeatPolicy};

impl Worker {
    /// Makes lists for the model that answers, where it has none, while it answers; until a
    /// training is asked for, which makes lists of its own.
    pub(super) fn make_missing_lists(&self) {
        let Some(active) = self.state.models.active().filter(|active| self.lacks_lists(active))
        else {
            return;
        };
        let generation = active.manifest.generation;
        let control = Control::new(&|_| {}, self.cancel());
        let made = || self.pool.install(|| self.lists_of(&active, &control));
        match catch_unwind(AssertUnwindSafe(made)) {
            Ok(Ok(lists)) => tracing::info!(generation, lists, "lists are made ahead"),
            Ok(Err(error)) => tracing::info!(generation, %error, "no lists are made ahead"),
            Err(_) => tracing::error!(generation, "a bug: making lists ahead panicked"),
        }
    }

    fn lacks_lists(&self, active: &Snapshot) -> bool {
        let policy = self.repeat.resolved(&active.manifest.settings);
        let holds = matches!(policy, RepeatPolicy::Allow | RepeatPolicy::ExcludePurchased);
        holds && self.options.prepared_lists > 0 && active.parts.prepared.lengths.is_empty()
    }

    /// How many were made.
    fn lists_of(&self, active: &Snapshot, control: &Control<'_>) -> Result<usize> {
        let until = Instant::now() + Duration::from_secs(self.options.prepare_seconds);
        let enough =
            || Instant::now() >= until || self.is_wanted() || erasure::is_owed(&self.state);
        let events = training::read_log(&self.state, active.manifest.offset)?;
        let prepared = recommend::prepare(active, &events, self.state.lists, enough, control);
        let prepared = prepared.map_err(|e| Error::Training(e.to_string()))?;

        let lists = prepared.lengths.iter().filter(|&&length| length > 0).count();
        self.state.models.attach_lists(active.manifest.generation, Arc::new(prepared));
        Ok(lists)
    }
}
