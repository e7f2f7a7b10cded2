//! Prepares lists for an active model without them: the very first model, or one that was read from
//! disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::erasure;
use super::run::Runner;
use crate::domain::progress::Control;
use crate::domain::{Error, Result};
use crate::engine::behaviour;
use crate::model::Snapshot;
use crate::recommend::{self, RepeatPolicy};

/// Prepares lists for the active model, where it has none, while it answers. Stops when
/// `has_request` says that a training waits, which prepares lists of its own.
pub(super) fn prepare_missing(
    runner: &Runner,
    has_request: impl Fn() -> bool + Sync,
    control: &Control<'_>,
) {
    let Some(active) = runner.state.models.active().filter(|active| lacks_lists(runner, active))
    else {
        return;
    };
    let generation = active.manifest.generation;
    let prepare = || prepare_lists(runner, &active, has_request, control);
    match catch_unwind(AssertUnwindSafe(prepare)) {
        Ok(Ok(lists)) => tracing::info!(generation, lists, "lists are prepared"),
        Ok(Err(error)) => tracing::info!(generation, %error, "no lists are prepared"),
        Err(_) => tracing::error!(generation, "a bug: preparing lists panicked"),
    }
}

fn lacks_lists(runner: &Runner, active: &Snapshot) -> bool {
    let policy = runner.repeat.resolved(&active.manifest.settings);
    let can_prepare = matches!(policy, RepeatPolicy::Allow | RepeatPolicy::ExcludePurchased);
    can_prepare && runner.options().prepared_lists > 0 && active.parts.prepared.lengths.is_empty()
}

/// Prepares lists and attaches them to the model; returns their number.
fn prepare_lists(
    runner: &Runner,
    active: &Snapshot,
    has_request: impl Fn() -> bool,
    control: &Control<'_>,
) -> Result<usize> {
    let state = &runner.state;
    let until = Instant::now() + Duration::from_secs(runner.options().prepare_seconds);
    let is_enough = || Instant::now() >= until || has_request() || erasure::is_owed(state);
    let events = behaviour::read(state, active.manifest.offset)?.events;
    let prepared = recommend::prepare(active, &events, state.lists, is_enough, control);
    let prepared = prepared.map_err(|e| Error::Training(e.into()))?;

    let lists = prepared.lengths.iter().filter(|&&length| length > 0).count();
    state.models.attach_lists(active.manifest.generation, Arc::new(prepared));
    Ok(lists)
}
