//! Assembles a snapshot of the server's own parts and a pushed model, and assembles it anew
//! where the own parts are outdated or know an erased user.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::progress::{Cancelled, Control};
use crate::domain::{Error, Generation, Result, UserIdx, now_ms};
use crate::engine::state::State;
use crate::matrix::UserEvents;
use crate::model::blend::BlendSettings;
use crate::model::{Lineage, Manifest, Prepared, Pushed, Role, Snapshot, Source};
use crate::recommend;
use crate::tune::pushed::UNTRIED;

/// Seconds for preparing lists of a pushed model: its client waits.
const LISTS_SECONDS: u64 = 15;
/// Names looked up under one lock: writes wait in the meantime.
pub(super) const NAMES_AT_ONCE: usize = 1_000;

/// A pushed model, with what its snapshot's manifest records of it.
pub(super) struct PushedModel {
    pub(super) model: Arc<Pushed>,
    /// The blend that holds its weights.
    pub(super) blend: BlendSettings,
    pub(super) lineage: Lineage,
    /// Its measured quality, by name.
    pub(super) quality: Vec<(String, f64)>,
    /// Seconds spent on checking it.
    pub(super) seconds: f64,
}

impl PushedModel {
    /// A snapshot of it and the parts of `base`, still without a generation of its own.
    fn assemble(&self, base: &Snapshot, pushed: Arc<Pushed>) -> Snapshot {
        let mut snapshot = base.clone();
        put(&mut snapshot, &pushed, |source| self.blend.weight(source));
        let manifest = &mut snapshot.manifest;
        let base: Generation = manifest.generation;
        manifest.pushed = Some(Lineage { base, ..self.lineage.clone() });
        manifest.created_ms = now_ms();
        manifest.train_seconds = self.seconds;
        manifest.quality.retain(|name, _| !name.starts_with("pushed_"));
        manifest.quality.extend(self.quality.iter().cloned());
        snapshot
    }
}

/// The active snapshot, whose parts a pushed model joins.
///
/// # Errors
/// [`Error::NotReady`] before the first model.
pub(super) fn base(state: &State) -> Result<Arc<Snapshot>> {
    let none = "there is no model yet to add a pushed one to: train first";
    state.models.active().ok_or_else(|| Error::NotReady(none.to_owned()))
}

/// Publishes a pushed model, assembled with the active one; with `ahead`, with lists prepared
/// from those events within [`LISTS_SECONDS`].
///
/// # Errors
/// [`Error::Storage`] where the disk fails, [`Error::Training`] when cancelled; nothing is
/// changed then.
pub(super) fn publish(
    state: &State,
    pushed: PushedModel,
    role: Role,
    ahead: Option<(&UserEvents, &Control<'_>)>,
) -> Result<Manifest> {
    let active = base(state)?;
    // Without the lock: while a pool thread waits for others, it may run a training, which
    // takes the lock.
    let prepared = ahead.map(|(events, control)| {
        let snapshot = pushed.assemble(&active, without_gone(state, &pushed.model));
        prepare(state, &snapshot, events, LISTS_SECONDS, control)
    });
    let prepared = prepared.transpose().map_err(|e| Error::Training(e.into()))?;
    let _assembling = state.assembling.lock();

    // Users may have been erased, or another model published, in the meantime.
    let now = base(state)?;

    let mut snapshot = pushed.assemble(&now, without_gone(state, &pushed.model));
    if now.manifest.generation == active.manifest.generation {
        snapshot.parts.prepared = Arc::new(prepared.unwrap_or_default());
    }

    let generation = state.models.next_generation()?;
    snapshot.manifest.generation = generation;
    if let Some(lineage) = &mut snapshot.manifest.pushed {
        lineage.generation = generation;
    }

    let manifest = state.models.publish(snapshot, role)?;
    tracing::info!(generation, ?role, "a pushed model is published");
    Ok(manifest)
}

/// Assembles the pushed part of a kept model with the active one, as a new generation that
/// replaces the old.
///
/// # Errors
/// [`Error::NotFound`] where it is not kept, [`Error::Storage`] where the disk fails.
pub(super) fn renew(
    state: &State,
    generation: Generation,
    role: Role,
    ahead: Option<(&UserEvents, &Control<'_>)>,
) -> Result<Manifest> {
    let old = state.models.load(generation)?;
    let unknown = || Error::NotFound { kind: "model", id: generation.to_string() };
    let of_push = |(name, _): &(&String, &f64)| name.starts_with("pushed_");
    let quality = old.manifest.quality.iter().filter(of_push);
    let pushed = PushedModel {
        model: old.parts.pushed.clone(),
        blend: old.manifest.settings.blend,
        lineage: old.manifest.pushed.clone().ok_or_else(unknown)?,
        quality: quality.map(|(name, value)| (name.clone(), *value)).collect(),
        seconds: old.manifest.train_seconds,
    };

    let manifest = publish(state, pushed, role, ahead)?;
    state.models.delete(generation)?;
    Ok(manifest)
}

/// Renews the staged, shadow and canary models with a pushed part for which `concerns` holds.
/// Prepares no lists: opening the store would wait for them.
///
/// # Errors
/// [`Error::Storage`] where the disk fails: some may not be renewed then.
pub(in crate::engine) fn renew_waiting(
    state: &State,
    concerns: impl Fn(&Manifest) -> bool,
) -> Result<()> {
    for manifest in state.models.list()?.into_iter().filter(|m| m.is_pushed() && concerns(m)) {
        let generation = manifest.generation;
        let role = state.models.role(generation);
        if !matches!(role, Role::Staged | Role::Shadow(_) | Role::Canary(_)) {
            continue;
        }

        if let Err(error) = renew(state, generation, role, None) {
            // A damaged model can never be renewed; any other error may pass.
            if state.models.is_whole(generation)? {
                return Err(error);
            }
            tracing::warn!(generation, %error, "a pushed model could not be renewed");
        }
    }
    Ok(())
}

/// Prepares lists for the most recent users, as many as `seconds` allow. They are as of the
/// newest event; a list made on request is as of the request.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub(in crate::engine) fn prepare(
    state: &State,
    snapshot: &Snapshot,
    events: &UserEvents,
    seconds: u64,
    control: &Control<'_>,
) -> Result<Prepared, Cancelled> {
    let until = Instant::now() + Duration::from_secs(seconds);
    recommend::prepare(snapshot, events, state.lists, || Instant::now() >= until, control)
}

/// A pushed model without the users who were erased or withdrew their consent.
pub(in crate::engine) fn without_gone(state: &State, pushed: &Arc<Pushed>) -> Arc<Pushed> {
    let mut named: Vec<UserIdx> = pushed.users_named().collect();
    named.sort_unstable();
    named.dedup();

    let mut gone = state.live.profiles.read().objecting().clone();
    for some in named.chunks(NAMES_AT_ONCE) {
        let names = state.live.users.read();
        gone.extend(some.iter().filter(|&&user| names.id(user).is_empty()));
    }

    if named.iter().any(|user| gone.contains(user)) {
        Arc::new(pushed.without_users(|user| gone.contains(&user)))
    } else {
        pushed.clone()
    }
}

/// Adds a pushed model to a snapshot with these weights, at most [`UNTRIED`] for sessions, for
/// which they were not measured. Removes prepared lists, which were made without it.
pub(in crate::engine) fn put(
    snapshot: &mut Snapshot,
    pushed: &Arc<Pushed>,
    weight: impl Fn(Source) -> f32,
) {
    let manifest = &mut snapshot.manifest;
    manifest.settings.blend = manifest.settings.blend.with_pushed(pushed, &weight);
    if let Some(sessions) = &mut manifest.session_settings {
        sessions.blend = sessions.blend.with_pushed(pushed, |source| weight(source).min(UNTRIED));
    }
    snapshot.parts.pushed = pushed.clone();
    snapshot.parts.prepared = Arc::default();
}
