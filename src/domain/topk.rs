//! The best k of many scored ids. Ties go to the lower id, so that the same scores always give the
//! same list.

use std::cmp::Ordering;

/// A dense id and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Dense id of an item or a user.
    pub idx: u32,
    /// Higher is better.
    pub score: f32,
}

impl Scored {
    /// Order by score descending, then by id ascending.
    pub fn best_first(a: &Scored, b: &Scored) -> Ordering {
        b.score.total_cmp(&a.score).then(a.idx.cmp(&b.idx))
    }
}

/// Truncates `scored` to its best `k`, best first. Selects before it sorts: one pass over all and a
/// sort of k.
pub fn keep_top(scored: &mut Vec<Scored>, k: usize) {
    select_top(scored, k);
    scored.sort_unstable_by(Scored::best_first);
}

/// Truncates `scored` to its best `k`, in no particular order.
pub fn select_top(scored: &mut Vec<Scored>, k: usize) {
    if k == 0 {
        scored.clear();
    } else if scored.len() > k {
        scored.select_nth_unstable_by(k - 1, Scored::best_first);
        scored.truncate(k);
    }
}

/// Collects into `best` the candidates that may be among the best `k`, at the cost of one
/// comparison for most of them.
#[derive(Debug, Clone, Copy)]
pub struct Threshold {
    k: usize,
    min: f32,
}

impl Threshold {
    /// A threshold for the best `k`, at least 1.
    pub fn new(k: usize) -> Self {
        Self { k: k.max(1), min: f32::NEG_INFINITY }
    }

    /// Adds a candidate, unless `k` better ones are known.
    #[inline]
    pub fn push(&mut self, best: &mut Vec<Scored>, candidate: Scored) {
        if candidate.score < self.min {
            return;
        }
        best.push(candidate);
        if best.len() >= 2 * self.k + 64 {
            select_top(best, self.k);
            // The selection leaves the worst of the kept ones in the last place.
            self.min = best.last().map_or(self.min, |s| s.score);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(scores: &[f32]) -> Vec<Scored> {
        (0u32..).zip(scores).map(|(idx, &score)| Scored { idx, score }).collect()
    }

    #[test]
    fn ties_go_to_the_lower_id() {
        let mut scored = list(&[1.0, 2.0, 2.0, 1.0, 2.0]);
        keep_top(&mut scored, 4);
        assert_eq!(scored.iter().map(|s| s.idx).collect::<Vec<_>>(), [1, 2, 4, 0]);
    }

    #[test]
    fn zero_keeps_nothing() {
        let mut scored = list(&[1.0]);
        keep_top(&mut scored, 0);
        assert!(scored.is_empty());
    }

    proptest! {
        #[test]
        fn selection_equals_a_full_sort(scores in prop::collection::vec(-5i8..5, 0..60), k in 0usize..70) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let mut expected = list(&scores);
            expected.sort_by(Scored::best_first);
            expected.truncate(k);
            let mut got = list(&scores);
            keep_top(&mut got, k);
            prop_assert_eq!(&got, &expected);
        }

        #[test]
        fn a_threshold_loses_nothing(scores in prop::collection::vec(-50i8..50, 0..600), k in 1usize..40) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let mut expected = list(&scores);
            keep_top(&mut expected, k);
            let mut threshold = Threshold::new(k);
            let mut got = Vec::new();
            list(&scores).into_iter().for_each(|scored| threshold.push(&mut got, scored));
            keep_top(&mut got, k);
            prop_assert_eq!(&got, &expected);
        }
    }
}
