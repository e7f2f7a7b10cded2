//! Weighs candidates beside the user's taste: by what the user is tired of, and by what items are worth
//! to the list's objective.

use super::list::Recommended;
use crate::domain::ItemIdx;

/// Multiplies scores by the factors of items, and orders the list again. Returns what each of them gains
/// or loses.
pub(super) fn weigh(
    items: &mut [Recommended],
    factor: impl Fn(ItemIdx) -> Option<f32>,
) -> Vec<(ItemIdx, f32)> {
    let mut parts = Vec::new();
    for listed in items.iter_mut() {
        if let Some(factor) = factor(listed.item) {
            let part = listed.score * (factor - 1.0);
            listed.score += part;
            parts.push((listed.item, part));
        }
    }
    items.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
    parts
}
