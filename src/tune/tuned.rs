//! The result of a tuning.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::blend::Proposals;
use super::trials::Spent;
use crate::model::manifest::Tuning;
use crate::model::{Manifest, SecondStage, Settings, Snapshot, Source};
use crate::sources::Trained;
use crate::train::REVISION;

/// The result of a tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// The settings to train with.
    pub settings: Settings,
    /// The second stage, where it wins.
    pub second_stage: Option<SecondStage>,
    /// Settings and second stage for anonymous sessions, where they were fitted.
    pub sessions: Option<(Settings, Option<SecondStage>)>,
    /// Measured quality on held-out cases, by name.
    pub quality: BTreeMap<String, f64>,
    /// The tuning itself; none where nothing was tuned.
    pub tuning: Option<Tuning>,
}

impl Tuned {
    /// Untuned settings.
    pub fn untuned(settings: Settings) -> Self {
        let (second_stage, sessions, quality, tuning) = Default::default();
        Self { settings, second_stage, sessions, quality, tuning }
    }

    /// The settings and second stages of a snapshot, and what was measured of it.
    pub fn of(snapshot: &Snapshot) -> Self {
        let Snapshot { manifest, parts } = snapshot;
        let session_stage = Some((*parts.session_stage).clone());
        Self {
            settings: manifest.settings,
            second_stage: Some((*parts.second_stage).clone()),
            sessions: manifest.session_settings.map(|settings| (settings, session_stage)),
            quality: manifest.quality.clone(),
            tuning: manifest.tuning.clone(),
        }
    }

    /// The sources that lists ask; those that sessions ask too occur twice.
    pub fn sources(&self) -> Vec<Source> {
        let sessions = self.sessions.iter().flat_map(|(settings, _)| settings.blend.sources());
        self.settings.blend.sources().into_iter().chain(sessions).collect()
    }

    /// The snapshot of parts trained with [`Tuned::settings`]; the other fields of `manifest` are
    /// the caller's.
    pub fn snapshot(self, trained: Trained, manifest: Manifest) -> Snapshot {
        let mut parts = trained.parts;
        let (session_settings, session_stage) = self.sessions.unzip();
        parts.second_stage = Arc::new(self.second_stage.unwrap_or_default());
        parts.session_stage = Arc::new(session_stage.flatten().unwrap_or_default());
        let mut quality = self.quality;
        quality.extend(trained.quality);
        let manifest = Manifest {
            settings: self.settings,
            session_settings,
            revision: REVISION,
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

/// The result of a search for hyperparameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Searched {
    /// The settings that it found, or those that it began with where these are better.
    pub settings: Settings,
    /// The quality of each source alone, by name.
    pub quality: BTreeMap<String, f64>,
    /// The quality of the settings that were served.
    pub before: Option<f64>,
    /// What the tuning has used of its budget.
    pub spent: Spent,
}

/// What a blend was fitted to, and what it reaches.
pub(super) struct Fitted {
    /// The proposals of every source for every case.
    pub proposals: Vec<Proposals>,
    /// The settings with the fitted blend.
    pub settings: Settings,
    /// NDCG at 10, case by case, cross-validated.
    pub ndcg: Vec<f64>,
}
