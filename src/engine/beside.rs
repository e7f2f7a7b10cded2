//! Pushed models beside what the server trains: put together as one snapshot, and anew where
//! that has grown old or knows somebody who is erased.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::State;
use crate::domain::progress::{Cancelled, Control};
use crate::domain::{Error, Generation, Result, UserIdx, now_ms};
use crate::matrix::UserEvents;
use crate::model::settings::BlendSettings;
use crate::model::{Lineage, Manifest, Prepared, Pushed, Role, Snapshot, Source};
use crate::recommend;
use crate::tune::pushed::UNTRIED;

/// Seconds for making lists ahead of a pushed model: somebody waits for it.
const LISTS_SECONDS: u64 = 15;
/// Names that are looked up at a time: writes wait meanwhile.
pub(super) const AT_ONCE: usize = 1_000;

/// What is put beside.
pub(super) struct Beside {
    pub(super) pushed: Arc<Pushed>,
    /// The blend that says its weights.
    pub(super) blend: BlendSettings,
    pub(super) lineage: Lineage,
    /// What was measured of it, by name.
    pub(super) quality: Vec<(String, f64)>,
    /// How long it was checked, in seconds.
    pub(super) seconds: f64,
}

impl Beside {
    /// A snapshot of it and what the server trained, still without a number.
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

impl State {
    /// What a pushed model is put beside.
    ///
    /// # Errors
    /// [`Error::NotReady`] before the first model.
    pub(super) fn base(&self) -> Result<Arc<Snapshot>> {
        let none = "there is no model yet to put another beside: train first";
        self.models.active().ok_or_else(|| Error::NotReady(none.to_owned()))
    }

    /// Publishes a pushed model beside what answers now; with `ahead`, with lists made ahead of
    /// those events for as long as somebody may be kept waiting.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk refuses, [`Error::Training`] when told to stop; all goes
    /// on as before.
    pub(super) fn publish_beside(
        &self,
        beside: Beside,
        role: Role,
        ahead: Option<(&UserEvents, &Control<'_>)>,
    ) -> Result<Manifest> {
        let base = self.base()?;
        // Without the lock: a thread of the pool that waits for others may take up a training,
        // which waits for the lock.
        let prepared = ahead.map(|(events, control)| {
            let snapshot = beside.assemble(&base, self.without_gone(&beside.pushed));
            self.prepare(&snapshot, events, LISTS_SECONDS, control)
        });
        let prepared = prepared.transpose().map_err(|e| Error::Training(e.to_string()))?;
        let _assembling = self.assembling.lock();
        // Whoever was erased, and whatever was published, meanwhile.
        let now = self.base()?;
        let mut snapshot = beside.assemble(&now, self.without_gone(&beside.pushed));
        if now.manifest.generation == base.manifest.generation {
            snapshot.parts.prepared = Arc::new(prepared.unwrap_or_default());
        }
        let generation = self.models.next_generation()?;
        snapshot.manifest.generation = generation;
        if let Some(lineage) = &mut snapshot.manifest.pushed {
            lineage.generation = generation;
        }
        let manifest = self.models.publish(snapshot, role)?;
        tracing::info!(generation, ?role, "a pushed model is published");
        Ok(manifest)
    }

    /// Puts the pushed part of a kept model beside what answers now, as a new generation in
    /// place of the old.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept, [`Error::Storage`] where the disk refuses.
    pub(super) fn renew(
        &self,
        generation: Generation,
        role: Role,
        ahead: Option<(&UserEvents, &Control<'_>)>,
    ) -> Result<Manifest> {
        let old = self.models.load(generation)?;
        let unknown = || Error::NotFound { kind: "model", id: generation.to_string() };
        let of_push = |(name, _): &(&String, &f64)| name.starts_with("pushed_");
        let quality = old.manifest.quality.iter().filter(of_push);
        let beside = Beside {
            pushed: old.parts.pushed.clone(),
            blend: old.manifest.settings.blend,
            lineage: old.manifest.pushed.clone().ok_or_else(unknown)?,
            quality: quality.map(|(name, value)| (name.clone(), *value)).collect(),
            seconds: old.manifest.train_seconds,
        };
        let manifest = self.publish_beside(beside, role, ahead)?;
        self.models.delete(generation)?;
        Ok(manifest)
    }

    /// Renews the pushed models that wait or answer some, and were put beside what was trained
    /// on records of which `concerns` says so. Without lists made ahead: a start of the store
    /// would wait for them.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk refuses: not all may be renewed then.
    pub(super) fn renew_waiting(&self, concerns: impl Fn(&Manifest) -> bool) -> Result<()> {
        for manifest in self.models.list()?.into_iter().filter(|m| m.is_pushed() && concerns(m)) {
            let generation = manifest.generation;
            let role = self.models.role(generation);
            if !matches!(role, Role::Staged | Role::Shadow(_) | Role::Canary(_)) {
                continue;
            }
            if let Err(error) = self.renew(generation, role, None) {
                // What is damaged cannot be renewed, ever; all else can be tried again.
                if self.models.is_whole(generation)? {
                    return Err(error);
                }
                tracing::warn!(generation, %error, "a pushed model could not be renewed");
            }
        }
        Ok(())
    }

    /// Lists for those who were there last, as many as can be made in so many seconds. They are
    /// as of the newest event; a list made when asked is as of then.
    ///
    /// # Errors
    /// [`Cancelled`] when told to stop.
    pub(super) fn prepare(
        &self,
        snapshot: &Snapshot,
        events: &UserEvents,
        seconds: u64,
        control: &Control<'_>,
    ) -> Result<Prepared, Cancelled> {
        let until = Instant::now() + Duration::from_secs(seconds);
        recommend::prepare(snapshot, events, self.lists, || Instant::now() >= until, control)
    }

    /// A pushed model without the users who were erased, or who object to the use of what
    /// they did.
    pub(super) fn without_gone(&self, pushed: &Arc<Pushed>) -> Arc<Pushed> {
        let mut named: Vec<UserIdx> = pushed.users_named().collect();
        named.sort_unstable();
        named.dedup();
        let mut gone = self.live.profiles.read().objecting();
        for some in named.chunks(AT_ONCE) {
            let names = self.live.users.read();
            gone.extend(some.iter().filter(|&&user| names.id(user).is_empty()));
        }
        match named.iter().any(|user| gone.contains(user)) {
            true => Arc::new(pushed.without_users(|user| gone.contains(&user))),
            false => pushed.clone(),
        }
    }
}

/// Puts a pushed model into a snapshot with these weights; those of sessions, for which they
/// were not measured, are modest. Lists made ahead know nothing of it, and go.
pub(super) fn put(snapshot: &mut Snapshot, pushed: &Arc<Pushed>, weight: impl Fn(Source) -> f32) {
    let manifest = &mut snapshot.manifest;
    manifest.settings.blend = manifest.settings.blend.with_pushed(pushed, &weight);
    if let Some(sessions) = &mut manifest.session_settings {
        sessions.blend = sessions.blend.with_pushed(pushed, |source| weight(source).min(UNTRIED));
    }
    snapshot.parts.pushed = pushed.clone();
    snapshot.parts.prepared = Arc::default();
}
