//! The manifest of a snapshot: the facts beside its arrays.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Lineage, Settings, Source};
use crate::domain::{Generation, Offset};

/// Describes a snapshot; stored beside it as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Manifest {
    /// Its number.
    pub generation: Generation,
    /// It was trained on the log before this offset.
    pub offset: Offset,
    /// Users erased by a record before this offset were taken out of it, as those before `offset`.
    #[serde(default)]
    pub unlearned_to: Offset,
    /// Revision of the formulas of its tables.
    #[serde(default)]
    pub revision: u32,
    /// The time as of which its events were looked at, in milliseconds since 1970: the newest
    /// event's, unless that stands alone; the end of its popularity windows.
    pub newest_ms: i64,
    /// Seed of its random numbers.
    pub seed: u64,
    /// The settings it was trained and is served with.
    pub settings: Settings,
    /// Users with at least one interaction.
    pub users: u64,
    /// Items with at least one interaction.
    pub items: u64,
    /// Cells of the user-item matrix.
    pub interactions: u64,
    /// Settings for anonymous sessions, where they were tuned: they differ from `settings` only
    /// where that needs no other training.
    #[serde(default)]
    pub session_settings: Option<Settings>,
    /// End of its training, in milliseconds since 1970.
    pub created_ms: i64,
    /// Length of its training.
    pub train_seconds: f64,
    /// Measured quality by name.
    pub quality: BTreeMap<String, f64>,
    /// How its settings were found; none where they were given.
    #[serde(default)]
    pub tuning: Option<Tuning>,
    /// Lineage of its pushed part; none without one.
    #[serde(default)]
    pub pushed: Option<Lineage>,
    /// Sources for which its training had no memory.
    #[serde(default)]
    pub left_out: Vec<Source>,
    /// Seconds of each stage of its training, in order.
    #[serde(default)]
    pub stages: Vec<(String, f64)>,
    /// Bytes of the arrays' file; 0 until it is saved.
    pub bytes: u64,
    /// XXH3-128 of the arrays' file, in hex; empty until it is saved.
    pub checksum: String,
}

impl Manifest {
    /// Checks that its figures are plausible.
    ///
    /// # Errors
    /// The first that is not.
    pub fn validate(&self) -> Result<(), String> {
        self.settings.validate()?;
        self.session_settings.as_ref().map_or(Ok(()), Settings::validate)?;

        let figures = self.quality.iter().map(|(name, value)| (name.as_str(), *value));
        let seconds = self.stages.iter().map(|(name, seconds)| (name.as_str(), *seconds));
        let own = [("train_seconds", self.train_seconds)];
        for (name, figure) in figures.chain(seconds).chain(own) {
            if !figure.is_finite() {
                return Err(format!("{name} must be a finite number, is {figure}"));
            }
        }

        if self.newest_ms < 0 || self.created_ms < 0 {
            return Err("newest_ms and created_ms must not be negative".to_owned());
        }
        Ok(())
    }

    /// Whether it was pushed; later generations carry pushed parts on.
    pub fn is_pushed(&self) -> bool {
        self.pushed.as_ref().is_some_and(|pushed| pushed.generation == self.generation)
    }

    /// Offset before which it knows every erasure.
    pub fn erased_to(&self) -> Offset {
        self.offset.max(self.unlearned_to)
    }

    /// The minimum length of a log that has all ids of its arrays, and all records that it knows.
    pub fn known_offset(&self) -> Offset {
        self.erased_to().max(self.pushed.as_ref().map_or(0, |pushed| pushed.known_offset))
    }
}

/// A tuning: what was tried, and against what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Held-out questions that settings were judged by.
    pub cases: usize,
    /// Values of settings tried.
    pub trials: usize,
    /// Seconds that it took.
    pub seconds: f64,
    /// Whether the time limit ended it; it cannot be repeated exactly then.
    pub capped: bool,
    /// The settings that were served before, with which it began.
    pub previous: Option<Settings>,
    /// NDCG at 10 of the blend with these on the same cases.
    pub previous_ndcg: Option<f64>,
    /// The final comparison; none where nothing could be held out for it.
    #[serde(default)]
    pub floor: Option<Floor>,
}

/// The comparison of the tuned settings with simpler ones, on behaviour held out in another way;
/// the figures are in the manifest's quality, as `floor_…`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// What was published: "tuned", "without_trees", "defaults", or a source's name.
    pub chosen: String,
    /// Whether randomly held-out items prefer another candidate.
    pub disagree: bool,
}
