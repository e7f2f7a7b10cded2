//! Trains the parts of a snapshot: every source's, and those behind the related lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::candidate::TrainingJob;
use crate::domain::progress::{Control, Stage};
use crate::matrix::Weighting;
use crate::model::{Parts, Settings, Source};
use crate::train::{TrainError, TrainingData, related};

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

/// Trains the parts that can be asked for by name, and of the other sources those among `sources`,
/// as of the newest event. Sources outside of `sources` get no index: it would cost more than all
/// parts together.
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
    control.begin(Stage::Baskets)?;
    let matrix = data.matrix(Weighting::default());
    let users = matrix.active_users() as u64;
    let items = matrix.active_items() as u64;
    let interactions = matrix.by_user.entries() as u64;
    if interactions == 0 {
        return Err(TrainError::Empty);
    }

    let mut parts = Parts::default();
    let mut quality = BTreeMap::new();
    let related = related::train(data, &matrix, control)?;
    // As large as the log, and not needed any longer.
    drop(matrix);
    parts.habits = Arc::new(related.habits);
    parts.similar = Arc::new(related.similar);
    parts.together = Arc::new(related.together);

    let job = TrainingJob { data, settings, seed, control };
    for source in Source::TRAINED {
        let Some(candidate) = super::of(source) else { continue };
        let is_asked = sources.contains(&source);
        if is_asked || candidate.is_always_trained() {
            control.begin(stage(source))?;
            candidate.train(&job, &mut parts)?;
        }
        if is_asked {
            quality.extend(candidate.index(&job, &mut parts)?);
        }
    }

    Ok(Trained { users, items, interactions, quality, parts })
}

/// The stage of a training in which a source is trained.
fn stage(source: Source) -> Stage {
    match source {
        Source::ItemCf => Stage::ItemCf,
        Source::UserCf => Stage::UserCf,
        Source::Ease => Stage::Ease,
        Source::GraphFilter => Stage::GraphFilter,
        Source::Embedding => Stage::Embeddings,
        Source::Popular => Stage::Popularity,
        Source::Content => Stage::Content,
        _ => Stage::Sequences,
    }
}
