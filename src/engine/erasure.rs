//! What a training does for users who were erased: before it reads the log, the log's
//! files are rewritten without them; once its model answers, those that may know them go.

use std::sync::Arc;

use super::State;
use super::committer::{Committer, Write};
use crate::domain::progress::Control;
use crate::domain::{Error, Offset, Result};
use crate::model::Snapshot;
use crate::store::compact;

/// Rewrites the log's files without the users erased so far.
///
/// # Errors
/// [`crate::domain::Error::Storage`] where the disk refuses, or `control` says to stop; a
/// later training does the rest.
pub(super) fn rewrite_log(
    state: &State,
    committer: &Committer,
    control: &Control<'_>,
) -> Result<()> {
    let erased = state.live.erasures.read().in_files();
    if erased.is_empty() {
        return Ok(());
    }
    committer.submit_blocking(Write::Seal)?.wait()?;
    let files = compact(&state.folder.log(), &erased, || control.check().is_err())?;
    state.live.erasures.write().rewritten(&erased);
    tracing::info!(users = erased.len(), files, "the log is rewritten without erased users");
    Ok(())
}

/// Whether a user is erased of whom the log's files, or a model, may know.
pub(super) fn is_owed(state: &State) -> bool {
    let erasures = state.live.erasures.read();
    let active = state.models.active();
    erasures.has_in_files()
        || erasures.may_be_in_models()
        || active.is_some_and(|model| Some(model.manifest.offset) <= erasures.newest())
}

/// Removes the models that may know a user who was erased since they were trained; pushed ones
/// that wait or answer some are put beside what answers now first, without the user. Until a model
/// answers that knows none of them, all stay, as the one that answers does: the training for them
/// comes next. Where the disk refuses, a later training tries again.
pub(super) fn remove_models(state: &State) {
    let Some(newest) = state.live.erasures.read().newest() else { return };
    let clean = |model: Arc<Snapshot>| model.manifest.offset > newest;
    if !state.models.active().is_some_and(clean) {
        return;
    }
    let renewed = state.renew_waiting(|manifest| manifest.offset <= newest);
    remove_idle(state, renewed, newest);
}

fn remove_idle(state: &State, renewed: Result<()>, newest: Offset) {
    // Not one that is on disk and about to get its role.
    let _assembling = state.assembling.lock();
    let removed = renewed.and_then(|()| state.models.remove_idle(|offset| offset <= newest));
    match removed {
        Ok(()) => state.live.erasures.write().note_in_models(false),
        Err(error) => note_left(state, &error),
    }
}

/// The same with the one that answers: nothing is left to train on, so no later model will
/// replace it.
pub(super) fn remove_last_model(state: &State) {
    let Some(newest) = state.live.erasures.read().newest() else { return };
    remove_idle(state, Ok(()), newest);
    let active = state.models.active();
    if active.is_some_and(|model| model.manifest.offset <= newest)
        && let Err(error) = state.models.remove_active()
    {
        note_left(state, &error);
    }
}

fn note_left(state: &State, error: &Error) {
    tracing::warn!(%error, "models that may know an erased user stay until the next training");
    state.live.erasures.write().note_in_models(true);
}
