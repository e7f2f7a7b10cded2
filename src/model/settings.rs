//! How a snapshot is trained and how its sources are blended. Kept in its
//! manifest, so that a snapshot always serves with what it was trained for.

use serde::{Deserialize, Serialize};

use crate::matrix::Weighting;

/// A way to propose items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Item-based collaborative filtering.
    ItemCf,
    /// User-based collaborative filtering.
    UserCf,
    /// Nearest neighbours of the shopper's embedding.
    Embedding,
    /// Popularity, not personal.
    Popular,
    /// The catalogue, in its order.
    Catalog,
    /// Bought in the same baskets.
    BoughtTogether,
}

impl Source {
    /// Name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Source::ItemCf => "item_cf",
            Source::UserCf => "user_cf",
            Source::Embedding => "embedding",
            Source::Popular => "popular",
            Source::Catalog => "catalog",
            Source::BoughtTogether => "bought_together",
        }
    }
}

/// All settings of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How events become cells.
    pub weighting: Weighting,
    /// Item CF.
    pub item_cf: ItemCfSettings,
    /// User CF.
    pub user_cf: UserCfSettings,
    /// Embeddings.
    pub embedding: EmbeddingSettings,
    /// How the sources are blended.
    pub blend: BlendSettings,
}

impl Default for Weighting {
    fn default() -> Self {
        Self { half_life_days: 60.0 }
    }
}

/// W = D_i^-a Xᵀ D_u^-b X D_i^-c, cut to the best `neighbours`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemCfSettings {
    /// Exponent of the source item's degree.
    pub a: f32,
    /// Exponent of the user's degree.
    pub b: f32,
    /// Exponent of the target item's degree.
    pub c: f32,
    /// Entries kept.
    pub neighbours: usize,
    /// Keep the best sources of each target, not the best targets of each source.
    pub per_target: bool,
    /// Scale each source's row to sum 1.
    pub scaled: bool,
}

impl Default for ItemCfSettings {
    fn default() -> Self {
        Self { a: 0.5, b: 1.0, c: 0.5, neighbours: 200, per_target: true, scaled: false }
    }
}

/// Cosine of item-normalised rows, similarity^power.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserCfSettings {
    /// Most similar shoppers asked.
    pub neighbours: usize,
    /// Exponent of the similarity.
    pub power: f32,
    /// Newest shoppers kept per item when neighbours are sought.
    pub users_per_item: usize,
}

impl Default for UserCfSettings {
    fn default() -> Self {
        Self { neighbours: 200, power: 1.5, users_per_item: 2_000 }
    }
}

/// Randomised SVD and the graph over its items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingSettings {
    /// Dimensions, 8 to 1,024.
    pub dimensions: usize,
    /// Power iterations.
    pub power_iterations: usize,
    /// Links of a node of the graph (M), up to 64.
    pub links: usize,
    /// Candidates looked at when a node is inserted.
    pub ef_construction: usize,
}

impl Default for EmbeddingSettings {
    fn default() -> Self {
        Self { dimensions: 128, power_iterations: 4, links: 16, ef_construction: 200 }
    }
}

/// Weights of the sources, after each is scaled to a maximum of 1.
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
    /// Weight of popularity.
    pub popular: f32,
}

impl Default for BlendSettings {
    fn default() -> Self {
        Self { candidates: 300, item_cf: 1.0, user_cf: 0.6, embedding: 0.3, popular: 0.05 }
    }
}
