//! Trainers: from the log's events to the parts of a snapshot. No I/O: given events, settings, a
//! seed and a [`Control`].
//!
//! - [`data`]: the events, and the matrices made from them
//! - [`popularity`], [`habits`]: purchases by window; repurchases
//! - [`content`]: items alike by what they are; [`placement`]: embeddings of items without behaviour
//! - [`cooccurrence`]: the sparse product behind item CF, similar items and baskets; [`related`]: what
//!   every model has of these
//! - [`user_cf`]: inverted lists; [`ease`]: item weights in closed form
//! - [`graph_filter`]: low-pass filters on the graph of users and items
//! - [`svd`], [`ials`]: embeddings; [`graph`]: the nearest-neighbour graph over them; [`pushed`]:
//!   embeddings trained elsewhere, prepared for serving
//! - [`sessions`], [`transition`], [`revisit`]: the order of events; [`sequence`]: vectors learned from it

pub mod content;
pub mod cooccurrence;
pub mod data;
pub mod ease;
pub mod graph;
pub mod graph_filter;
pub mod habits;
pub mod ials;
pub mod placement;
pub mod popularity;
pub mod pushed;
pub mod related;
pub mod revisit;
pub mod sequence;
pub mod sessions;
pub mod svd;
pub mod transition;
pub mod user_cf;

use thiserror::Error;

pub use data::{Earlier, TrainingData};

use crate::domain::progress::{Cancelled, Control};
use crate::matrix::Interactions;
use crate::model::Embeddings;
use crate::model::settings::{EmbeddingSettings, EmbeddingTrainer};
use crate::model::vectors::embeddings::SCAN_UP_TO;

/// Revision of what the tables of items hold: to be raised with every change of their formulas, so that no
/// table is mixed with one of another revision.
pub const REVISION: u32 = 1;

/// Why a training failed.
#[derive(Debug, Error)]
pub enum TrainError {
    /// It was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// No event is a signal of taste.
    #[error("the log holds no interaction to train on")]
    Empty,
    /// The log alone is larger than the memory that the training may take, in bytes.
    #[error(
        "training on this log takes some {} MiB, more than the {} MiB it may take \
         (train.memory_mib)", .needs.div_ceil(1 << 20), .budget >> 20
    )]
    Memory {
        /// What it takes.
        needs: u64,
        /// What it may take.
        budget: u64,
    },
    /// A matrix could not be factorised.
    #[error("a factorisation failed: {0}")]
    Factorisation(String),
}

/// Trains item vectors, without a graph, not yet quantized. In a large catalogue only items with enough users get one:
/// the vectors of others coincide with those of their few buyers.
///
/// # Errors
/// [`TrainError::Cancelled`], or [`TrainError::Factorisation`].
pub fn embeddings(
    matrix: &Interactions,
    settings: &EmbeddingSettings,
    seed: u64,
    control: &Control<'_>,
) -> Result<Embeddings, TrainError> {
    let supported = (matrix.active_items() > SCAN_UP_TO)
        .then(|| matrix.of_items_with(settings.support))
        .filter(|supported| supported.by_user.entries() > 0);
    let matrix = supported.as_ref().unwrap_or(matrix);
    match settings.trainer {
        EmbeddingTrainer::Svd => svd::train(matrix, settings, seed, control),
        EmbeddingTrainer::Ials => ials::train(matrix, settings, seed, control),
    }
}
