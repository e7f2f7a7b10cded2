//! Proposals by nearest neighbours of a vector, for trained and pushed embeddings.

use crate::domain::topk::Scored;
use crate::live::ItemMask;
use crate::model::Embeddings;
use crate::model::vectors::graph::SearchState;

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
