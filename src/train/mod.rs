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

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

pub use data::TrainingData;

use crate::domain::progress::{Cancelled, Control, Stage};
use crate::matrix::{Csr, Interactions, Weighting, baskets};
use crate::model::settings::{EmbeddingSettings, EmbeddingTrainer};
use crate::model::vectors::embeddings::SCAN_UP_TO;
use crate::model::{Embeddings, Parts, Settings, Source};

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

/// Trains every part that can be asked for by name, and of the others those
/// among `sources`, as of the newest event. Embeddings that are not among them
/// are scanned where they are asked for by name: a graph of them would cost more
/// than all other parts together.
///
/// # Errors
/// [`TrainError::Empty`] without a single interaction; see [`TrainError`].
pub fn train(
    data: &TrainingData<'_>,
    settings: &Settings,
    sources: &[Source],
    seed: u64,
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    let events = data.events();
    let matrix = data.matrix(Weighting::default());
    if matrix.by_user.entries() == 0 {
        return Err(TrainError::Empty);
    }

    let wanted = |source| sources.contains(&source);
    control.begin(Stage::Popularity)?;
    let popularity = popularity::train(data, &settings.popular);
    control.begin(Stage::ItemCf)?;
    let own = data.matrix(settings.item_cf.weighting());
    let item_cf = cooccurrence::item_cf(&own, &settings.item_cf, control)?;
    let similar = cooccurrence::similar(&matrix, control)?;
    control.begin(Stage::Baskets)?;
    let together = cooccurrence::together(&baskets(events), control)?;
    control.begin(Stage::UserCf)?;

    let own = data.matrix(settings.user_cf.weighting());
    let user_cf = user_cf::train(&own, &settings.user_cf);
    control.begin(Stage::Ease)?;
    let ease = if wanted(Source::Ease) {
        ease::train(&data.matrix(settings.ease.weighting()), &settings.ease, control)?
    } else {
        Csr::default()
    };

    control.begin(Stage::Sequences)?;
    let sessions = if wanted(Source::Session) {
        sessions::train(events, &settings.session)
    } else {
        Default::default()
    };

    let transition = if wanted(Source::Transition) {
        transition::train(events, &settings.transition)
    } else {
        Csr::default()
    };

    control.begin(Stage::Embeddings)?;
    let mut quality = BTreeMap::new();
    let own = data.matrix(settings.embedding.weighting());

    let mut embeddings = embeddings(&own, &settings.embedding, seed, control)?;
    if wanted(Source::Embedding) && embeddings.items() > SCAN_UP_TO {
        control.begin(Stage::Ann)?;
        let recall =
            Some(graph::build::build(&mut embeddings, &settings.embedding, seed, control)?);
        let recall = recall.filter(|&recall| recall >= graph::build::REQUIRED_RECALL);
        quality.extend(recall.map(|recall| ("ann_recall@10".to_owned(), recall)));
    }

    Ok(Trained {
        users: matrix.active_users() as u64,
        items: matrix.active_items() as u64,
        interactions: matrix.by_user.entries() as u64,
        quality,
        parts: Parts {
            popularity: Arc::new(popularity),
            habits: Arc::new(habits::train(events)),
            item_cf: Arc::new(item_cf),
            similar: Arc::new(similar),
            together: Arc::new(together),
            user_cf: Arc::new(user_cf),
            ease: Arc::new(ease),
            sessions: Arc::new(sessions),
            transition: Arc::new(transition),
            second_stage: Arc::default(),
            session_stage: Arc::default(),
            prepared: Arc::default(),
            embeddings: Arc::new(embeddings),
            pushed: Arc::default(),
        },
    })
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
