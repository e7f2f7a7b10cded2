//! Proposals by a table of item weights, for item CF, EASE, the graph filter and pushed item neighbours.

use super::scratch::Scratch;
use crate::matrix::Csr;

/// Proposes the best `k` items by score_j = Σ_i x_i W_ij, with x the user's row in
/// `scratch.profile`.
pub(super) fn linear(table: &Csr, k: usize, scratch: &mut Scratch) {
    let Scratch { profile, items, mask, candidates, .. } = scratch;
    items.reserve(table.width);
    table.fetch(profile.iter().map(|cell| cell.item));
    for cell in profile.iter() {
        for (item, weight) in table.pairs(cell.item as usize) {
            items.add(item, cell.weight * weight);
        }
    }
    items.drain_top(k, |item| mask.allows(item), candidates);
}
