//! Fatigue: an item that was shown to a user again and again without a click fades.

use super::list::Recommended;
use crate::domain::ItemIdx;

/// Multiplies the scores of items that the user is tired of, and orders the list again. Returns what
/// each of them loses.
pub(super) fn fade(tired_of: &[(ItemIdx, f32)], items: &mut [Recommended]) -> Vec<(ItemIdx, f32)> {
    if tired_of.is_empty() {
        return Vec::new();
    }

    let mut lost = Vec::new();
    for listed in items.iter_mut() {
        let Some((_, factor)) = tired_of.iter().find(|(item, _)| *item == listed.item) else {
            continue;
        };
        let part = listed.score * (factor - 1.0);
        listed.score += part;
        lost.push((listed.item, part));
    }
    items.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
    lost
}
