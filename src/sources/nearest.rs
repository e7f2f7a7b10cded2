//! Proposals by nearest neighbours of a vector, for trained and pushed embeddings, and the graph that finds them.

use super::candidate::TrainingJob;
use crate::domain::progress::Stage;
use crate::domain::topk::Scored;
use crate::live::ItemMask;
use crate::model::Embeddings;
use crate::model::vectors::embeddings::SCAN_UP_TO;
use crate::model::vectors::graph::SearchState;
use crate::train::TrainError;
use crate::train::graph::build::{REQUIRED_RECALL, build, link_again};

/// The best `k` allowed items by inner product with a vector, with scores above 0, best first.
pub fn nearest(
    model: &Embeddings,
    vector: &[f32],
    k: usize,
    mask: &ItemMask,
    search: &mut SearchState,
) -> Vec<Scored> {
    // A snapshot in training has no graph yet, and one whose graph had too little recall has none.
    let is_searchable = model.is_searchable(k, mask.count());
    let mut found = if is_searchable {
        model.search_among(vector, k, |item| mask.allows(item), search)
    } else {
        model.scan_quantized(vector, mask.iter(), k)
    };

    // The way through forbidden items has an end.
    if is_searchable && found.len() < k && !model.is_exhausted(search) {
        found = model.scan_quantized(vector, mask.iter(), k);
    }

    found.retain(|s| s.score > 0.0);
    found
}

/// Builds the graph over vectors that are too many to be scanned, linked as an earlier one where that serves;
/// returns its recall at 10 for `queries`, if it is used.
///
/// # Errors
/// [`TrainError::Cancelled`] when cancelled.
pub(super) fn index(
    model: &mut Embeddings,
    earlier: Option<&Embeddings>,
    queries: Vec<Vec<f32>>,
    job: &TrainingJob<'_>,
) -> Result<Option<f64>, TrainError> {
    if model.items() <= SCAN_UP_TO {
        return Ok(None);
    }

    job.control.begin(Stage::Ann)?;
    if let Some(recall) = link_again(model, earlier, &queries, job.seed) {
        return Ok(Some(recall));
    }
    let recall = build(model, &job.settings.embedding, queries, job.seed, job.control)?;
    Ok((recall >= REQUIRED_RECALL).then_some(recall))
}
