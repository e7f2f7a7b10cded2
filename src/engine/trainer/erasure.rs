//! What trainings and unlearning share: the log's files are rewritten without erased users, and once
//! the active model knows none of them, the models that may are removed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::progress::Control;
use crate::domain::{Error, Offset, Result};
use crate::engine::push::assemble;
use crate::engine::state::State;
use crate::engine::write::{Write, Writer};
use crate::model::Snapshot;
use crate::store::{compact, unfinished};

/// Rewrites the log's files without the users erased so far.
///
/// # Errors
/// [`crate::domain::Error::Storage`] where the disk fails, or `control` cancels; the rest is rewritten
/// later.
pub(super) fn rewrite_log(state: &State, writer: &Writer, control: &Control<'_>) -> Result<()> {
    let _rewriting = state.rewriting.lock();
    let erased = state.live.erasures.write().begin_rewrite();
    if erased.is_empty() {
        return Ok(());
    }
    state.checkpoints.remove(&state.folder)?;
    unfinished::remove(state.folder.root())?;
    writer.submit_blocking(Write::Seal)?.wait()?;
    let rewritten = compact(&state.folder.log(), &erased, || control.check().is_err());
    // Also where it was cut short.
    state.rewritings.send_modify(|count| *count += 1);
    let files = rewritten?;
    state.live.erasures.write().rewritten(&erased);
    tracing::info!(users = erased.len(), files, "the log is rewritten without erased users");
    Ok(())
}

/// Whether the log's files, or a model, may hold an erased user.
pub(super) fn is_owed(state: &State) -> bool {
    let erasures = state.live.erasures.read();
    let active = state.models.active();
    erasures.has_in_files()
        || erasures.may_be_in_models()
        || active.is_some_and(|model| Some(model.manifest.erased_to()) <= erasures.newest())
}

/// Removes the models that may know a user who was erased since they were made. Pushed ones with a role
/// are first assembled anew with the active model, without the user. All stay until the active model
/// knows no erased user, which the trainer sees to. Where the disk fails, it tries again.
pub(in crate::engine) fn remove_models(state: &State) {
    if state.lease.is_follower() {
        // They go with those that are followed.
        return;
    }
    let Some(newest) = state.live.erasures.read().newest() else { return };
    let clean = |model: Arc<Snapshot>| model.manifest.erased_to() > newest;
    if !state.models.active().is_some_and(clean) {
        return;
    }
    let renewed = assemble::renew_waiting(state, |manifest| manifest.erased_to() <= newest);
    remove_idle(state, renewed, newest);
}

/// Time after which the files of a copy are rewritten whatever model answers, and after which what failed is tried
/// again.
const LONGEST: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(60);

/// Rewrites the files of a store that another server trains without erased users.
#[derive(Debug, Default)]
pub(super) struct CopyRewriter {
    owed_since: Option<Instant>,
    not_before: Option<Instant>,
}

impl CopyRewriter {
    /// Rewrites the files where they hold an erased user: once the model that answers knows none, as the server
    /// that trains has rewritten its own by then, or after ten minutes.
    pub(super) fn look(&mut self, state: &State, writer: &Writer, control: &Control<'_>) {
        let erasures = state.live.erasures.read();
        let (is_owed, newest) = (erasures.has_in_files(), erasures.newest());
        drop(erasures);
        if !is_owed {
            self.owed_since = None;
            return;
        }

        let now = Instant::now();
        let owed_since = *self.owed_since.get_or_insert(now);
        let is_clean = |model: Arc<Snapshot>| Some(model.manifest.erased_to()) > newest;
        let is_time = state.models.active().is_none_or(is_clean) || now >= owed_since + LONGEST;
        if !is_time || self.not_before.is_some_and(|not_before| now < not_before) {
            return;
        }
        match rewrite_log(state, writer, control) {
            Ok(()) => *self = Self::default(),
            Err(error) => {
                tracing::warn!(%error, "the log's files may hold an erased user for now");
                self.not_before = Some(now + RETRY);
            }
        }
    }
}

fn remove_idle(state: &State, renewed: Result<()>, newest: Offset) {
    // A model that is on disk and about to get its role must stay.
    let _assembling = state.assembling.lock();
    let removed = renewed.and_then(|()| state.models.remove_idle(newest));
    match removed {
        Ok(()) => state.live.erasures.write().note_in_models(false),
        Err(error) => note_left(state, &error),
    }
}

/// Removes the active model too: nothing is left to train on, so no later model replaces it.
pub(super) fn remove_last_model(state: &State) {
    if state.lease.is_follower() {
        // They go with those that are followed.
        return;
    }
    let Some(newest) = state.live.erasures.read().newest() else { return };
    remove_idle(state, Ok(()), newest);
    let active = state.models.active();
    if active.is_some_and(|model| model.manifest.erased_to() <= newest)
        && let Err(error) = state.models.remove_active()
    {
        note_left(state, &error);
    }
}

fn note_left(state: &State, error: &Error) {
    tracing::warn!(%error, "models that may know an erased user stay for now");
    state.live.erasures.write().note_in_models(true);
}
