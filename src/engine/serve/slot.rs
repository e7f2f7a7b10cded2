//! A randomised slot: one position of a list whose item is drawn among the best, with a known probability,
//! so that what another list would have earned can be estimated later.

use rand::RngExt;

use super::request::ScoredItem;
use crate::recommend::RandomSlot;

/// Draws the item of the slot and leaves the list with `limit` items. The first position of a
/// Plackett-Luce ranking (Plackett, 1975) of the best items that are not above the slot: each is drawn in
/// proportion to its score. `roll` is a random number from 0 to 1.
pub(super) fn draw(entries: &mut Vec<ScoredItem>, slot: &RandomSlot, limit: usize, roll: f64) {
    let position = slot.position - 1;
    let end = slot.candidates.min(entries.len());
    if position + 1 < end {
        let weights: Vec<f64> =
            entries[position..end].iter().map(|entry| f64::from(entry.score).max(0.0)).collect();
        if let Some((at, probability)) = drawn(&weights, roll) {
            let mut entry = entries.remove(position + at);
            entry.propensity = probability as f32;
            entries.insert(position, entry);
        }
    }
    entries.truncate(limit);
}

/// A random number for [`draw`].
pub(super) fn roll() -> f64 {
    rand::rng().random()
}

/// The place that a roll falls on, in proportion to the weights, with its probability; none where all
/// weights are 0.
fn drawn(weights: &[f64], roll: f64) -> Option<(usize, f64)> {
    let all: f64 = weights.iter().sum();
    if all <= 0.0 || !all.is_finite() {
        return None;
    }
    let mut end = 0.0;
    let at = weights.iter().position(|weight| {
        end += weight;
        roll * all < end
    });
    let at = at.or_else(|| weights.iter().rposition(|weight| *weight > 0.0))?;
    Some((at, weights[at] / all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Source;

    fn list() -> Vec<ScoredItem> {
        let entry = |(id, score): (&str, f32)| ScoredItem {
            item_id: id.into(),
            idx: None,
            score,
            source: Source::ItemCf,
            propensity: 1.0,
            explanation: None,
        };
        [("a", 5.0), ("b", 3.0), ("c", 2.0), ("d", 1.0), ("e", 1.0)].map(entry).to_vec()
    }

    #[test]
    fn the_slot_is_drawn_among_the_best_and_the_rest_keeps_its_order() {
        let slot = RandomSlot { position: 2, candidates: 4 };
        let drawn = |roll: f64| {
            let mut entries = list();
            draw(&mut entries, &slot, 3, roll);
            let ids: String = entries.iter().map(|entry| entry.item_id.as_str()).collect();
            (ids, entries[1].propensity)
        };
        // Of b, c and d with 3, 2 and 1.
        assert_eq!(drawn(0.0), ("abc".into(), 0.5));
        assert_eq!(drawn(0.6), ("acb".into(), 2.0 / 6.0));
        assert_eq!(drawn(0.99), ("adb".into(), 1.0 / 6.0));

        let mut few = list();
        draw(&mut few, &RandomSlot { position: 9, candidates: 20 }, 20, 0.5);
        assert!(few.iter().all(|entry| entry.propensity == 1.0));
    }
}
