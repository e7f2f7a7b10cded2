//! Snapshots: what training makes and serving reads; immutable once published.
//!
//! - [`settings`], [`blend`]: how a snapshot is trained and its sources are blended; `ranges`:
//!   valid values
//! - [`source`]: the candidate sources, by name
//! - [`popularity`], [`habits`], [`user_cf`], [`vectors`], [`sessions`], [`second_stage`],
//!   [`prepared`], [`pushed`]: the parts; the others are plain [`Csr`] tables of neighbours
//! - [`manifest`]: the facts on a snapshot beside its arrays; [`roles`]: the roles of
//!   generations
//! - [`disk`]: saves, loads, lists and removes snapshots; [`frozen`]: opens them for a backup;
//!   [`copied`]: copies them from server to server; [`tensors`]: the arrays as safetensors

pub mod blend;
pub mod copied;
pub mod disk;
pub mod frozen;
pub mod habits;
pub mod manifest;
pub mod popularity;
pub mod prepared;
pub mod pushed;
mod ranges;
pub mod roles;
pub mod second_stage;
pub mod sessions;
pub mod settings;
pub mod source;
pub mod tensors;
pub mod user_cf;
pub mod vectors;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use crate::model::pushed::lineage::Lineage;
pub use crate::model::pushed::model::Pushed;
pub use crate::model::vectors::embeddings::Embeddings;
pub use crate::model::vectors::graph::Ann;
pub use habits::Habits;
pub use manifest::Manifest;
pub use popularity::{Popularity, Ranking, Window};
pub use prepared::Prepared;
pub use roles::{Role, Roles};
pub use second_stage::SecondStage;
pub use sessions::Sessions;
pub use settings::Settings;
pub use source::Source;
pub use user_cf::UserCf;

use crate::matrix::Csr;
use crate::matrix::recent::Recent;

/// A trained snapshot. All ids in it are dense; ids newer than the snapshot may be asked for and
/// are unknown to it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Generation, offset, seed, settings, quality.
    pub manifest: Manifest,
    /// The trained parts.
    pub parts: Parts,
}

/// The trained parts of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Most bought items by window.
    pub popularity: Arc<Popularity>,
    /// Repurchase statistics of items.
    pub habits: Arc<Habits>,
    /// Item CF: source items × target items, best first.
    pub item_cf: Arc<Csr>,
    /// Items bought by the same users: items × items, best first.
    pub similar: Arc<Csr>,
    /// Items bought together: items × items, best first.
    pub together: Arc<Csr>,
    /// User CF: the user-item matrix in both directions.
    pub user_cf: Arc<UserCf>,
    /// EASE: source items × target items; empty where the blend does not ask it.
    pub ease: Arc<Csr>,
    /// Past sessions; empty where the blend does not ask them.
    pub sessions: Arc<Sessions>,
    /// Transitions: items × items, best first; empty where the blend does not ask them.
    pub transition: Arc<Csr>,
    /// The learned second stage; empty where the blend is better without.
    pub second_stage: Arc<SecondStage>,
    /// The second stage for anonymous sessions, where they have settings of their own.
    pub session_stage: Arc<SecondStage>,
    /// Prepared lists; empty without any.
    pub prepared: Arc<Prepared>,
    /// Tables of sources without a field of their own: items × items, best first; of returns, classes ×
    /// ranks.
    pub tables: BTreeMap<Source, Arc<Csr>>,
    /// Item embeddings and their nearest-neighbour graph.
    pub embeddings: Arc<Embeddings>,
    /// Vectors learned from what came next; empty where the blend does not ask them. The weights of a user's
    /// last steps are the one row of their table.
    pub sequence: Arc<Embeddings>,
    /// The pushed model; empty without one.
    pub pushed: Arc<Pushed>,
}

impl Parts {
    /// The share of users who come back to an item as recent, as often and as strongly dealt with; 0
    /// where the model does not count returns.
    pub fn chance_of_return(&self, recent: &Recent) -> f32 {
        let Some(table) = self.tables.get(&Source::Revisit) else { return 0.0 };
        let (ranks, shares) = table.row(recent.class());
        let place = ranks.binary_search(&(recent.rank as u32));
        place.map_or(0.0, |place| shares[place])
    }
}
