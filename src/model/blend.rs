//! How a snapshot's sources are blended into one list.

use serde::{Deserialize, Serialize};

use super::{Pushed, Source};

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
    /// Weight of a pushed embedding.
    pub pushed_embedding: f32,
    /// Weight of pushed item neighbours.
    pub pushed_items: f32,
    /// Weight of pushed user neighbours.
    pub pushed_users: f32,
    /// Weight of pushed scores of items.
    pub pushed_prior: f32,
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
            pushed_embedding: 0.0,
            pushed_items: 0.0,
            pushed_users: 0.0,
            pushed_prior: 0.0,
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
            Source::PushedEmbedding => self.pushed_embedding,
            Source::PushedItems => self.pushed_items,
            Source::PushedUsers => self.pushed_users,
            Source::PushedPrior => self.pushed_prior,
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
            Source::PushedEmbedding => self.pushed_embedding = weight,
            Source::PushedItems => self.pushed_items = weight,
            Source::PushedUsers => self.pushed_users = weight,
            Source::PushedPrior => self.pushed_prior = weight,
            Source::Catalog
            | Source::BoughtTogether
            | Source::Fresh
            | Source::Content
            | Source::Category => {}
        }
    }

    /// The same with these weights for what `pushed` holds, and none for pushed sources that
    /// it does not hold.
    pub fn with_pushed(self, pushed: &Pushed, weight: impl Fn(Source) -> f32) -> Self {
        let mut blend = self;
        let there = pushed.sources();
        for source in Source::PUSHED {
            blend.set_weight(source, if there.contains(&source) { weight(source) } else { 0.0 });
        }
        blend
    }
}
