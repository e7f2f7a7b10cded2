//! What a tuning found.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::manifest::Tuning;
use crate::model::{Manifest, SecondStage, Settings, Snapshot, Source};
use crate::sources::Trained;

/// What a tuning found.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// The settings to train with.
    pub settings: Settings,
    /// The second stage, where it wins.
    pub second_stage: Option<SecondStage>,
    /// Settings and second stage for strangers' sessions, where they were fitted.
    pub sessions: Option<(Settings, Option<SecondStage>)>,
    /// What was measured on the held-out behaviour, by name.
    pub quality: BTreeMap<String, f64>,
    /// How it went; none where nothing was tuned.
    pub tuning: Option<Tuning>,
}

impl Tuned {
    /// Settings as they are.
    pub fn untuned(settings: Settings) -> Self {
        let (second_stage, sessions, quality, tuning) = Default::default();
        Self { settings, second_stage, sessions, quality, tuning }
    }

    /// The sources that lists ask; those that sessions ask too stand twice.
    pub fn sources(&self) -> Vec<Source> {
        let sessions = self.sessions.iter().flat_map(|(settings, _)| settings.blend.sources());
        self.settings.blend.sources().into_iter().chain(sessions).collect()
    }

    /// The snapshot that serves as was found, of what was trained with
    /// [`Tuned::settings`]; what else `manifest` holds is the caller's to say.
    pub fn snapshot(self, trained: Trained, manifest: Manifest) -> Snapshot {
        let mut parts = trained.parts;
        let (session_settings, session_stage) = self.sessions.unzip();
        parts.second_stage = Arc::new(self.second_stage.unwrap_or_default());
        parts.session_stage = Arc::new(session_stage.flatten().unwrap_or_default());
        let mut quality = trained.quality;
        quality.extend(self.quality);
        let manifest = Manifest {
            settings: self.settings,
            session_settings,
            users: trained.users,
            items: trained.items,
            interactions: trained.interactions,
            quality,
            tuning: self.tuning,
            ..manifest
        };
        Snapshot { manifest, parts }
    }
}
