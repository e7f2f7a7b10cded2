//! What training makes and serving reads: immutable once published.
//!
//! - [`settings`], [`blend`]: how a snapshot was trained and how its sources are blended;
//!   `ranges`: what they may be
//! - [`popularity`], [`habits`], [`user_cf`], [`embeddings`], [`ann`], [`codes`], [`sessions`],
//!   [`second_stage`], [`prepared`], [`pushed`]: the parts;
//!   the others are plain [`Csr`] tables of neighbours
//! - [`manifest`]: what is known of a snapshot without reading its arrays
//! - [`lineage`], [`roles`]: where a pushed model came from, what generations are for
//! - [`disk`]: saving, loading, listing, pruning
//! - [`push_reader`], [`push_facts`]: the file in which a model is pushed; [`upload`]: while it comes
//! - [`tensors`]: the arrays as safetensors

pub mod blend;
pub mod disk;
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

/// Everything trained at once, published at once. All ids in it are dense; ids
/// newer than the snapshot may be asked for and find nothing.
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
    /// How items are bought again.
    pub habits: Arc<Habits>,
    /// Item CF: source items × target items, best first.
    pub item_cf: Arc<Csr>,
    /// "Shoppers who bought this": items × items, best first.
    pub similar: Arc<Csr>,
    /// "Bought together": items × items, best first.
    pub together: Arc<Csr>,
    /// User CF: who has what.
    pub user_cf: Arc<UserCf>,
    /// EASE: source items × target items; empty where the blend does not ask it.
    pub ease: Arc<Csr>,
    /// Past sessions; empty where the blend does not ask them.
    pub sessions: Arc<Sessions>,
    /// What follows what: items × items, best first; empty where the blend does
    /// not ask it.
    pub transition: Arc<Csr>,
    /// The learned second stage; empty where the blend is better without.
    pub second_stage: Arc<SecondStage>,
    /// The same for anonymous sessions, where they have settings of their own.
    pub session_stage: Arc<SecondStage>,
    /// Lists made ahead; empty where none were.
    pub prepared: Arc<Prepared>,
    /// Tables of sources without a field of their own: items × items, best first.
    pub tables: BTreeMap<Source, Arc<Csr>>,
    /// Item embeddings and their nearest-neighbour graph.
    pub embeddings: Arc<Embeddings>,
    /// What was trained elsewhere; empty where nothing was pushed.
    pub pushed: Arc<Pushed>,
}
