//! Settings of training and blending. Kept in a snapshot's manifest, so that it is always served
//! with the settings it was trained for.
//!
//! Half-lives are in days: an event of that age counts half; 0: events never fade.

use serde::{Deserialize, Serialize};

use super::blend::BlendSettings;
use crate::content::FieldWeights;
use crate::matrix::Weighting;
use crate::matrix::weight::ProfileWeighting;

/// All settings of a training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Item-based collaborative filtering.
    pub item_cf: ItemCfSettings,
    /// User-based collaborative filtering.
    pub user_cf: UserCfSettings,
    /// Embeddings.
    pub embedding: EmbeddingSettings,
    /// EASE.
    pub ease: EaseSettings,
    /// The graph filter.
    pub graph_filter: GraphFilterSettings,
    /// Repeat purchases.
    pub repeat: RepeatSettings,
    /// Sessions.
    pub session: SessionSettings,
    /// Transitions.
    pub transition: TransitionSettings,
    /// Returns to items of late.
    pub revisit: RevisitSettings,
    /// Vectors learned from what came next.
    pub sequence: SequenceSettings,
    /// Popularity.
    pub popular: PopularSettings,
    /// Content.
    pub content: ContentSettings,
    /// How the sources are blended.
    pub blend: BlendSettings,
}

/// How events become cells of the user-item matrix, for sources that read the user's row.
///
/// Flattened into the settings of each such source.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightingSettings {
    /// Half-life of events in training.
    pub half_life_days: f64,
    /// Half-life of the user's own events in a request.
    pub profile_half_life_days: f64,
    /// How far repeated events of one item add up, 0 (not at all) to 1.
    pub counts: f32,
    /// Share that the user's own events lose in a request with each step since, a basket or a moment:
    /// 0 to 1.
    pub step_fading: f32,
}

impl WeightingSettings {
    /// The weighting of the matrix that the source is trained on.
    pub fn training(&self) -> Weighting {
        Weighting { half_life_days: self.half_life_days, counts: self.counts }
    }

    /// The weighting of the user's row in a request.
    pub fn profile(&self) -> ProfileWeighting {
        let weighting =
            Weighting { half_life_days: self.profile_half_life_days, counts: self.counts };
        ProfileWeighting { weighting, step_fading: self.step_fading }
    }
}

impl Default for WeightingSettings {
    fn default() -> Self {
        Self { half_life_days: 60.0, profile_half_life_days: 60.0, counts: 0.0, step_fading: 0.0 }
    }
}

/// W = D_i^-a Xᵀ D_u^-b X D_i^-c, cut to the best `neighbours`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ItemCfSettings {
    /// How events become cells of the matrix.
    #[serde(flatten)]
    pub weighting: WeightingSettings,
    /// Exponent a of the source item's degree.
    #[serde(alias = "a")]
    pub source_exponent: f32,
    /// Exponent b of the user's degree.
    #[serde(alias = "b")]
    pub user_exponent: f32,
    /// Exponent c of the target item's degree.
    #[serde(alias = "c")]
    pub target_exponent: f32,
    /// Entries kept.
    pub neighbours: usize,
    /// Keep the best sources of each target, not the best targets of each source.
    pub per_target: bool,
    /// Scale each source's row to sum 1.
    pub scaled: bool,
}

impl Default for ItemCfSettings {
    fn default() -> Self {
        Self {
            weighting: WeightingSettings::default(),
            source_exponent: 0.5,
            user_exponent: 1.0,
            target_exponent: 0.5,
            neighbours: 200,
            per_target: true,
            scaled: false,
        }
    }
}

/// Cosine of item-normalised rows, similarity^power.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserCfSettings {
    /// How events become cells of the matrix.
    #[serde(flatten)]
    pub weighting: WeightingSettings,
    /// Most similar users asked.
    pub neighbours: usize,
    /// Exponent of the similarity.
    pub power: f32,
    /// Newest users kept per item for the search of neighbours.
    pub users_per_item: usize,
}

impl Default for UserCfSettings {
    fn default() -> Self {
        Self {
            weighting: WeightingSettings::default(),
            neighbours: 200,
            power: 1.5,
            users_per_item: 500,
        }
    }
}

/// How embeddings are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingTrainer {
    /// Randomised singular value decomposition.
    Svd,
    /// Implicit alternating least squares.
    Ials,
}

/// Embeddings and the graph over them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EmbeddingSettings {
    /// How events become cells of the matrix.
    #[serde(flatten)]
    pub weighting: WeightingSettings,
    /// How they are trained.
    pub trainer: EmbeddingTrainer,
    /// Dimensions, 8 to 1,024.
    pub dimensions: usize,
    /// Power iterations of the SVD.
    pub power_iterations: usize,
    /// Sweeps of iALS over users and items.
    pub sweeps: usize,
    /// Weight of an unobserved pair in iALS, relative to an observed one (α).
    pub unobserved: f32,
    /// Regularisation of iALS (λ).
    pub regularisation: f32,
    /// Minimum number of users of an item for a vector, in a catalogue too large to be scanned:
    /// with fewer, the vector only says who bought it, which item CF says at less cost.
    pub support: usize,
    /// Links of a node in the upper layers (M), up to 64; twice as many in the base layer.
    pub links: usize,
    /// Candidates examined when a node is inserted.
    pub ef_construction: usize,
}

impl Default for EmbeddingSettings {
    fn default() -> Self {
        Self {
            weighting: WeightingSettings::default(),
            trainer: EmbeddingTrainer::Svd,
            dimensions: 64,
            power_iterations: 4,
            sweeps: 8,
            unobserved: 0.1,
            regularisation: 0.003,
            support: 5,
            links: 16,
            ef_construction: 200,
        }
    }
}

/// B_ij = −P_ij / P_jj with P = (XᵀX + λI)^-1, over the most-bought items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EaseSettings {
    /// How events become cells of the matrix.
    #[serde(flatten)]
    pub weighting: WeightingSettings,
    /// Regularisation λ.
    pub lambda: f32,
    /// Most-bought items included; time grows with the cube, memory with the square.
    pub items: usize,
    /// Entries kept per source item, largest first by magnitude.
    pub neighbours: usize,
}

impl Default for EaseSettings {
    fn default() -> Self {
        Self {
            weighting: WeightingSettings::default(),
            lambda: 100.0,
            items: 5_000,
            neighbours: 400,
        }
    }
}

/// W = D_i^-β (V Vᵀ + linear · AᵀA) D_i^β with A = D_u^-½ X D_i^-½ and V its first right singular
/// vectors, cut to the best `neighbours`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GraphFilterSettings {
    /// How events become cells of the matrix.
    #[serde(flatten)]
    pub weighting: WeightingSettings,
    /// Singular vectors, 8 to 1,024: the ideal low-pass filter lets these frequencies through. Fewer in a
    /// store of more than 131,072 users or items, down to 128 for a million.
    pub dimensions: usize,
    /// Power iterations of the SVD.
    pub power_iterations: usize,
    /// Weight of the linear filter relative to the ideal one.
    pub linear: f32,
    /// Exponent β of the target item's degree.
    pub popularity: f32,
    /// Entries kept per source item.
    pub neighbours: usize,
}

impl Default for GraphFilterSettings {
    fn default() -> Self {
        Self {
            weighting: WeightingSettings::default(),
            dimensions: 128,
            power_iterations: 4,
            linear: 1.0,
            popularity: 0.4,
            neighbours: 200,
        }
    }
}

/// Σ over baskets of ρ^age, times (recent popularity)^exponent, times (share of returning
/// buyers)^exponent, times how due it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepeatSettings {
    /// Weight of a basket relative to the next one, 0 to 1.
    pub rho: f32,
    /// Exponent of the item's popularity.
    pub popularity: f32,
    /// Exponent of the share of the item's buyers who returned for it.
    pub again: f32,
    /// Exponent of how due it is: (days since / usual gap), at most 1.
    pub due: f32,
    /// Whether lists offer bought items where the policy is left to the tuner.
    pub offered: bool,
}

impl Default for RepeatSettings {
    fn default() -> Self {
        Self { rho: 0.95, popularity: 0.3, again: 0.0, due: 0.0, offered: false }
    }
}

/// VMIS-kNN.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionSettings {
    /// Newest sessions kept of each item (m).
    pub sessions_per_item: usize,
    /// Most similar sessions asked (k).
    pub neighbours: usize,
    /// Newest items of the running session that are used.
    pub items: usize,
    /// Whether the item in view, the session's last, may be offered.
    pub in_view: bool,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { sessions_per_item: 500, neighbours: 100, items: 4, in_view: false }
    }
}

/// Transitions, from basket to basket or, without baskets, from item to item.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransitionSettings {
    /// Steps ahead that count, each by 1 / distance.
    pub steps: usize,
    /// Targets kept of each item.
    pub neighbours: usize,
    /// Exponent of the penalty on an item's own frequency.
    pub source_popularity: f32,
    /// Exponent of the penalty on a target's popularity.
    pub target_popularity: f32,
    /// Weight of a basket, or a single item, relative to the next one, 0 to 1.
    pub decay: f32,
}

impl Default for TransitionSettings {
    fn default() -> Self {
        Self {
            steps: 5,
            neighbours: 200,
            source_popularity: 0.5,
            target_popularity: 0.0,
            decay: 0.6,
        }
    }
}

/// The share of returns to items as recent, as often and as strongly dealt with, to a power.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RevisitSettings {
    /// The power: below 1, items differ less.
    pub power: f32,
}

impl Default for RevisitSettings {
    fn default() -> Self {
        Self { power: 1.0 }
    }
}

/// score_j = exp((cos(u, e_j) − 1) / temperature).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SequenceSettings {
    /// Examples of what came next that a training looks at, about; each several times where they are few.
    pub visits: usize,
    /// How far nearer items are preferred: the lower, the more.
    pub temperature: f32,
}

impl Default for SequenceSettings {
    fn default() -> Self {
        Self { visits: 4_000_000, temperature: 0.07 }
    }
}

/// What items alike spread, times 1 + boost / (1 + buyers of the item).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContentSettings {
    /// How much each field of an item counts.
    pub fields: FieldWeights,
    /// Neighbours kept of each item.
    pub neighbours: usize,
    /// Half-life of the user's own events in a request.
    pub profile_half_life_days: f64,
    /// How much more an item without buyers counts than one with many: the less is known of its
    /// buyers, the more what it is has to say.
    pub boost: f32,
    /// Share of the places after the first ten that items with fewer than three buyers get, 0 to 1.
    pub room: f32,
}

impl Default for ContentSettings {
    fn default() -> Self {
        Self {
            fields: FieldWeights::default(),
            neighbours: 100,
            profile_half_life_days: 60.0,
            boost: 4.0,
            room: 0.1,
        }
    }
}

/// Popularity with a half-life.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PopularSettings {
    /// Half-life of events.
    pub half_life_days: f64,
}

impl Default for PopularSettings {
    fn default() -> Self {
        Self { half_life_days: 30.0 }
    }
}
