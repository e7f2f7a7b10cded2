//! Trainers: from the log's events to the parts of a snapshot. No I/O: given
//! events, settings, a seed and a [`Control`] to report to.
//!
//! - [`material`]: the events, and the matrices made from them by half-life
//! - [`popularity`]: who bought what, by window
//! - [`habits`]: what is bought again, and how soon
//! - [`cooccurrence`]: the sparse product behind item CF, similar items and baskets
//! - [`user_cf`]: inverted lists
//! - [`ease`]: item weights in closed form
//! - [`svd`], [`ials`]: the embeddings, in one of two ways
//! - [`ann`]: the nearest-neighbour graph over them, built and checked: [`navigation`] by
//!   hnsw_rs, [`ground`]
//! - [`pushed`]: embeddings that were trained elsewhere, made ready
//! - [`sessions`], [`transition`]: what goes with what in order of time

pub mod cooccurrence;
pub mod data;
pub mod ease;
pub mod graph;
pub mod habits;
pub mod ials;
pub mod popularity;
pub mod pushed;
pub mod sessions;
pub mod svd;
pub mod transition;
pub mod user_cf;

use thiserror::Error;

pub use data::TrainingData;

use crate::domain::progress::{Cancelled, Control};
use crate::matrix::Interactions;
use crate::model::Embeddings;
use crate::model::settings::{EmbeddingSettings, EmbeddingTrainer};
use crate::model::vectors::embeddings::SCAN_UP_TO;

/// Why a training ended without a model.
#[derive(Debug, Error)]
pub enum TrainError {
    /// It was told to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// No event says that a shopper likes an item.
    #[error("the log holds no interaction to train on")]
    Empty,
    /// A matrix could not be factorised.
    #[error("a factorisation failed: {0}")]
    Factorisation(String),
}

/// Trains item vectors, without a graph: of a large catalogue those of items with enough
/// shoppers, so that neither the factorisation nor searches are spent on items whose
/// vectors lie where their one buyer's do.
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
    let mut trained = match settings.trainer {
        EmbeddingTrainer::Svd => svd::train(matrix, settings, seed, control),
        EmbeddingTrainer::Ials => ials::train(matrix, settings, seed, control),
    }?;
    trained.encode();
    Ok(trained)
}
