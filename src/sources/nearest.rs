//! Proposals by nearest neighbours of a vector, for trained and pushed embeddings.

use crate::domain::topk::Scored;
use crate::live::ItemMask;
use crate::model::Embeddings;
use crate::model::vectors::embeddings::SCAN_UP_TO;
use crate::model::vectors::graph::SearchState;

/// Forbidden items beyond which a search in the graph would mostly find forbidden ones.
const FORBIDDEN_UP_TO: usize = 1_000;

/// The best `k` allowed items by inner product with a vector, with scores above 0, best first.
/// `items`: number of items on the shelf.
pub fn nearest(
    model: &Embeddings,
    vector: &[f32],
    k: usize,
    items: usize,
    mask: &ItemMask,
    search: &mut SearchState,
) -> Vec<Scored> {
    let allowed = mask.count();
    let forbidden = items.saturating_sub(allowed);
    // A snapshot in training has no graph yet, and one whose graph had too little recall has none.
    let must_scan = model.ann.layers.is_empty();
    let mut found = if must_scan || allowed <= SCAN_UP_TO || forbidden > FORBIDDEN_UP_TO {
        model.scan_quantized(vector, mask.iter(), k)
    } else {
        model.search(vector, k + forbidden, 0, search)
    };

    found.retain(|s| s.score > 0.0 && mask.allows(s.idx));
    found.truncate(k);
    found
}
