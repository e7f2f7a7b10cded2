//! The pushed model that a training carries on.

use std::sync::Arc;

use crate::domain::{DAY_MS, Generation, now_ms};
use crate::engine::push::assemble;
use crate::engine::state::State;
use crate::model::blend::BlendSettings;
use crate::model::{Lineage, Pushed, Settings, Snapshot};

/// A pushed model that becomes part of the next trained snapshot; empty for none.
#[derive(Default)]
pub(super) struct CarriedPush {
    pub(super) pushed: Arc<Pushed>,
    pub(super) lineage: Option<Lineage>,
    /// The blend that it is served with.
    pub(super) blend: BlendSettings,
}

impl CarriedPush {
    /// The pushed part of the active model, without erased users; none once it is older than
    /// `keep_days`.
    pub(super) fn of_active(state: &State, keep_days: u32) -> Self {
        let active = state.models.active();
        let is_young =
            |lineage: &Lineage| now_ms() - lineage.pushed_ms <= i64::from(keep_days) * DAY_MS;
        let lineage = active.as_ref().and_then(|a| a.manifest.pushed.clone()).filter(is_young);
        let Some((active, lineage)) = active.zip(lineage) else { return Self::default() };

        let pushed = assemble::without_gone(state, &active.parts.pushed);
        Self { pushed, lineage: Some(lineage), blend: active.manifest.settings.blend }
    }

    pub(super) fn generation(&self) -> Option<Generation> {
        self.lineage.as_ref().map(|lineage| lineage.generation)
    }

    /// `settings` with the weights that the pushed sources are served with.
    pub(super) fn with_weights(&self, settings: Settings) -> Settings {
        let blend = settings.blend.with_pushed(&self.pushed, |source| self.blend.weight(source));
        Settings { blend, ..settings }
    }

    /// Adds it to a snapshot whose blends hold weights for it.
    pub(super) fn add_to(&self, snapshot: &mut Snapshot) {
        let manifest = &mut snapshot.manifest;
        for settings in [Some(&mut manifest.settings), manifest.session_settings.as_mut()] {
            let Some(settings) = settings else { continue };
            let blend = settings.blend;
            settings.blend = blend.with_pushed(&self.pushed, |source| blend.weight(source));
        }
        manifest.pushed = self.lineage.clone();
        snapshot.parts.pushed = self.pushed.clone();
    }
}
