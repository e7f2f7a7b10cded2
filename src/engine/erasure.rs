//! What a training does for users who were erased: before it reads the log, the log's
//! files are rewritten without them; once its model answers, those that may know them go.

use std::sync::Arc;

use super::State;
use super::committer::{Committer, Write};
use crate::domain::Result;
use crate::domain::progress::Control;
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

/// Whether a user is erased of whom the log's files, or the model that answers, may know.
pub(super) fn is_owed(state: &State) -> bool {
    let erasures = state.live.erasures.read();
    let active = state.models.active();
    erasures.has_in_files()
        || active.is_some_and(|model| Some(model.manifest.offset) <= erasures.newest())
}

/// Removes the models that may know a user who was erased since they were trained; pushed ones
/// that wait or answer some are put beside what answers now first, without the user. The one
/// that answers stays even where somebody was erased while it was trained: the training for
/// them comes next.
pub(super) fn remove_models(state: &State) {
    let newest = state.live.erasures.read().newest();
    if let Some(newest) = newest {
        let clean = |model: Arc<Snapshot>| model.manifest.offset > newest;
        if state.models.active().is_some_and(clean) {
            state.renew_waiting(|manifest| manifest.offset <= newest);
        }
        // Not one that is on disk and about to get its role.
        let _assembling = state.assembling.lock();
        state.models.remove_idle(|offset| offset <= newest);
    }
}

/// The same with the one that answers: nothing is left to train on, so no later model will
/// replace it.
pub(super) fn remove_last_model(state: &State) {
    remove_models(state);
    let newest = state.live.erasures.read().newest();
    let active = state.models.active();
    if active.is_some_and(|model| Some(model.manifest.offset) <= newest) {
        state.models.remove_active();
    }
}
