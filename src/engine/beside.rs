//! Pushed models beside what the server trains: put together as one snapshot, and anew where
//! that has grown old or knows somebody who is erased.

use std::sync::Arc;

use super::State;
use crate::domain::{Error, Generation, Result, UserIdx, now_ms};
use crate::model::settings::BlendSettings;
use crate::model::{Lineage, Manifest, Pushed, Role, Snapshot, Source};
use crate::tune::pushed::UNTRIED;

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

impl State {
    /// What a pushed model is put beside.
    ///
    /// # Errors
    /// [`Error::NotReady`] before the first model.
    pub(super) fn base(&self) -> Result<Arc<Snapshot>> {
        let none = "there is no model yet to put another beside: train first";
        self.models.active().ok_or_else(|| Error::NotReady(none.to_owned()))
    }

    /// Publishes a pushed model beside what answers now.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk refuses; all goes on as before.
    pub(super) fn publish_beside(&self, beside: Beside, role: Role) -> Result<Manifest> {
        let _assembling = self.assembling.lock();
        let mut snapshot = Snapshot::clone(&*self.base()?);
        let generation = self.models.next_generation();
        // Whoever was erased since it was read.
        let pushed = self.without_gone(&beside.pushed);
        put(&mut snapshot, &pushed, |source| beside.blend.weight(source));
        let manifest = &mut snapshot.manifest;
        let base: Generation = std::mem::replace(&mut manifest.generation, generation);
        manifest.pushed = Some(Lineage { generation, base, ..beside.lineage });
        manifest.created_ms = now_ms();
        manifest.train_seconds = beside.seconds;
        manifest.quality.retain(|name, _| !name.starts_with("pushed_"));
        manifest.quality.extend(beside.quality);
        let manifest = self.models.publish(snapshot, role)?;
        tracing::info!(generation, ?role, "a pushed model is published");
        Ok(manifest)
    }

    /// Puts the pushed part of a kept model beside what answers now, as a new generation in
    /// place of the old.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept, [`Error::Storage`] where the disk refuses.
    pub(super) fn renew(&self, generation: Generation, role: Role) -> Result<Manifest> {
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
        let manifest = self.publish_beside(beside, role)?;
        self.models.delete(generation)?;
        Ok(manifest)
    }

    /// Renews the pushed models that wait or answer some, and were put beside what was trained
    /// on records of which `concerns` says so.
    pub(super) fn renew_waiting(&self, concerns: impl Fn(&Manifest) -> bool) {
        for manifest in self.models.list().into_iter().filter(|m| m.is_pushed() && concerns(m)) {
            let generation = manifest.generation;
            let role = self.models.role(generation);
            if matches!(role, Role::Staged | Role::Shadow(_) | Role::Canary(_))
                && let Err(error) = self.renew(generation, role)
            {
                tracing::warn!(generation, %error, "a pushed model could not be renewed");
            }
        }
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
/// were not measured, are modest. Lists made ahead go: they know nothing of it.
pub(super) fn put(snapshot: &mut Snapshot, pushed: &Arc<Pushed>, weight: impl Fn(Source) -> f32) {
    let manifest = &mut snapshot.manifest;
    manifest.settings.blend = manifest.settings.blend.with_pushed(pushed, &weight);
    if let Some(sessions) = &mut manifest.session_settings {
        sessions.blend = sessions.blend.with_pushed(pushed, |source| weight(source).min(UNTRIED));
    }
    snapshot.parts.pushed = pushed.clone();
    snapshot.parts.prepared = Arc::default();
}
