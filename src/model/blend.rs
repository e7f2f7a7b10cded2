//! How a snapshot's sources are blended into one list.

use serde::{Deserialize, Serialize};

use super::Source;

/// Weights of the sources, after each is scaled to a maximum of 1; 0: not asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlendSettings {
    /// Candidates taken from each source.
    pub candidates: usize,
    /// Weight of item CF.
    pub item_cf: f32,
    /// Weight of user CF.
    pub user_cf: f32,
    /// Weight of the embedding.
    pub embedding: f32,
    /// Weight of EASE.
    pub ease: f32,
    /// Weight of repeat purchases.
    pub repeat: f32,
    /// Weight of sessions.
    pub session: f32,
    /// Weight of transitions.
    pub transition: f32,
    /// Weight of popularity.
    pub popular: f32,
}

impl Default for BlendSettings {
    fn default() -> Self {
        Self {
            candidates: 120,
            item_cf: 0.6,
            user_cf: 0.6,
            embedding: 0.3,
            ease: 1.0,
            repeat: 1.0,
            session: 0.0,
            transition: 0.0,
            popular: 0.05,
        }
    }
}

impl BlendSettings {
    /// The sources that are asked.
    pub fn sources(&self) -> Vec<Source> {
        Source::BLENDED.into_iter().filter(|&source| self.weight(source) > 0.0).collect()
    }

    /// The weight of a source; 0 for one that the blend does not ask.
    pub fn weight(&self, source: Source) -> f32 {
        match source {
            Source::ItemCf => self.item_cf,
            Source::UserCf => self.user_cf,
            Source::Embedding => self.embedding,
            Source::Ease => self.ease,
            Source::Repeat => self.repeat,
            Source::Session => self.session,
            Source::Transition => self.transition,
            Source::Popular => self.popular,
            Source::Catalog
            | Source::BoughtTogether
            | Source::Fresh
            | Source::Content
            | Source::Category => 0.0,
        }
    }

    /// Sets the weight of a source; nothing for one that the blend does not ask.
    pub fn set_weight(&mut self, source: Source, weight: f32) {
        match source {
            Source::ItemCf => self.item_cf = weight,
            Source::UserCf => self.user_cf = weight,
            Source::Embedding => self.embedding = weight,
            Source::Ease => self.ease = weight,
            Source::Repeat => self.repeat = weight,
            Source::Session => self.session = weight,
            Source::Transition => self.transition = weight,
            Source::Popular => self.popular = weight,
            Source::Catalog
            | Source::BoughtTogether
            | Source::Fresh
            | Source::Content
            | Source::Category => {}
        }
    }
}
