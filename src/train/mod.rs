//! Trainers: from the log's events to the parts of a snapshot. No I/O: given
//! events, settings, a seed and a [`Control`] to report to.
//!
//! - [`popularity`]: who bought what, by window
//! - [`cooccurrence`]: the sparse product behind item CF, similar items and baskets
//! - [`user_cf`]: inverted lists
//! - [`svd`]: the embeddings
//! - [`ann`]: the nearest-neighbour graph over them, built by hnsw_rs and checked

pub mod ann;
pub mod cooccurrence;
pub mod popularity;
pub mod svd;
pub mod user_cf;

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::domain::progress::{Cancelled, Control, Stage};
use crate::matrix::{Interactions, UserEvents, baskets};
use crate::model::{Parts, Settings};

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
    #[error("the embeddings did not converge: {0}")]
    Factorisation(String),
    /// The graph does not find what an exact scan finds.
    #[error("the ann graph has recall {recall:.3} at 10, below {required}; it is not published")]
    Recall {
        /// Measured against an exact scan.
        recall: f64,
        /// What is required.
        required: f64,
    },
}

/// What a training made, and what was measured of it.
#[derive(Debug)]
pub struct Trained {
    /// The parts of the snapshot.
    pub parts: Parts,
    /// Users with at least one interaction.
    pub users: u64,
    /// Items with at least one interaction.
    pub items: u64,
    /// Cells of the user-item matrix.
    pub interactions: u64,
    /// Measured quality by name.
    pub quality: BTreeMap<String, f64>,
}

/// Trains every part, as of the newest event.
///
/// # Errors
/// [`TrainError::Empty`] without a single interaction; see [`TrainError`].
pub fn train(
    events: &UserEvents,
    settings: &Settings,
    seed: u64,
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    let now_ms = events.newest_ms();
    let matrix = Interactions::new(events, &settings.weighting, now_ms);
    if matrix.by_user.entries() == 0 {
        return Err(TrainError::Empty);
    }
    control.begin(Stage::Popularity)?;
    let popularity = popularity::train(events, &matrix, now_ms);
    control.begin(Stage::ItemCf)?;
    let item_cf = cooccurrence::item_cf(&matrix, &settings.item_cf, control)?;
    let similar = cooccurrence::similar(&matrix, control)?;
    control.begin(Stage::Baskets)?;
    let together = cooccurrence::together(&baskets(events), control)?;
    control.begin(Stage::UserCf)?;
    let user_cf = user_cf::train(&matrix, &settings.user_cf);
    control.begin(Stage::Embeddings)?;
    let (vectors, fold_in) = svd::train(&matrix, &settings.embedding, seed, control)?;
    control.begin(Stage::Ann)?;
    let (embeddings, recall) = ann::build(vectors, fold_in, &settings.embedding, seed)?;
    Ok(Trained {
        users: matrix.active_users() as u64,
        items: matrix.active_items() as u64,
        interactions: matrix.by_user.entries() as u64,
        quality: BTreeMap::from([("ann_recall@10".to_owned(), recall)]),
        parts: Parts {
            popularity: Arc::new(popularity),
            item_cf: Arc::new(item_cf),
            similar: Arc::new(similar),
            together: Arc::new(together),
            user_cf: Arc::new(user_cf),
            embeddings: Arc::new(embeddings),
        },
    })
}
