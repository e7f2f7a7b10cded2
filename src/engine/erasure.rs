//! What a training does for users who were erased: before it reads the log, the log's
//! files are rewritten without them; once its model answers, those that may know them go.

use super::State;
use super::committer::{Committer, Write};
use crate::domain::Result;
use crate::store::compact;

/// Rewrites the log's files without the users erased so far.
///
/// # Errors
/// [`crate::domain::Error::Storage`] where the disk refuses; the rest is done by the next
/// training.
pub(super) fn rewrite_log(state: &State, committer: &Committer) -> Result<()> {
    let erased = state.live.erasures.read().in_files();
    if erased.is_empty() {
        return Ok(());
    }
    committer.submit_blocking(Write::Seal)?.wait()?;
    let files = compact(&state.folder.log(), &erased)?;
    state.live.erasures.write().rewritten(&erased);
    tracing::info!(users = erased.len(), files, "the log is rewritten without erased users");
    Ok(())
}

/// Whether the model that answers may know a user who was erased since it was trained.
pub(super) fn is_owed(state: &State) -> bool {
    let active = state.models.active();
    active.is_some_and(|model| state.live.erasures.read().concern(model.manifest.offset))
        || !state.live.erasures.read().in_files().is_empty()
}

/// Removes the models that may know a user who was erased since they were trained. The one
/// that answers stays even where somebody was erased while it was trained: the training for
/// them comes next.
pub(super) fn remove_models(state: &State) {
    state.models.remove_idle(|offset| state.live.erasures.read().concern(offset));
}

/// Where nothing is left to train on, no later model will replace one that knows erased users.
pub(super) fn remove_last_model(state: &State) {
    if is_owed(state) {
        state.models.remove_all();
    }
}
