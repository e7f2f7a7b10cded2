//! What is taken with what since the model was trained: pairs of items that the same
//! shoppers took, counted as they happen. So a new item has neighbours, and what a new
//! shopper buys says something to others, in the moment it happens; the next training
//! takes it all over.
//!
//! Of those who have item j, the share that took i beside it: conf(i → j) =
//! c_ij / (n_j + 3), with c_ij the shoppers since the training and n_j all who have j: near
//! 0 for what many have had for long, which the model knows better.

use std::collections::VecDeque;

use ahash::AHashMap;

use crate::domain::topk::{Scored, keep_top};
use crate::domain::{ItemIdx, Offset};

/// Pairs that are remembered; the oldest leave. About 100 bytes each.
const PAIRS: usize = 500_000;
/// Of a shopper's items, the newest so many make pairs with the one they take.
pub const PARTNERS: usize = 8;
/// Shoppers who have an item by which a share is held to be no better than it is.
const PRIOR: f32 = 3.0;
/// Most items that are proposed.
const PROPOSED: usize = 100;

/// Counts of pairs since a training.
#[derive(Debug, Default)]
pub struct Overlay {
    counts: AHashMap<ItemIdx, AHashMap<ItemIdx, u32>>,
    pairs: VecDeque<(Offset, ItemIdx, ItemIdx)>,
}

impl Overlay {
    /// A shopper took `item`, by the record at `offset`, who took `others` before.
    pub fn note(&mut self, offset: Offset, item: ItemIdx, others: &[ItemIdx]) {
        for &other in others {
            *self.counts.entry(item).or_default().entry(other).or_default() += 1;
            *self.counts.entry(other).or_default().entry(item).or_default() += 1;
            self.pairs.push_back((offset, item, other));
        }
        while self.pairs.len() > PAIRS {
            self.forget_oldest();
        }
    }

    /// A model knows the log before `offset`: what was counted up to there goes.
    pub fn forget_before(&mut self, offset: Offset) {
        while self.pairs.front().is_some_and(|pair| pair.0 < offset) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, a, b)) = self.pairs.pop_front() else { return };
        for (item, other) in [(a, b), (b, a)] {
            let Some(others) = self.counts.get_mut(&item) else { continue };
            if let Some(count) = others.get_mut(&other) {
                *count -= 1;
                if *count == 0 {
                    others.remove(&other);
                }
            }
            if others.is_empty() {
                self.counts.remove(&item);
            }
        }
    }

    /// Items taken with any of `items` by at least `least` shoppers, best first, with scores
    /// from 0 to 1; `buyers[j]`: how many have item j.
    pub fn beside(&self, items: &[ItemIdx], least: u32, buyers: &[u32]) -> Vec<Scored> {
        let mut sums: AHashMap<ItemIdx, f32> = AHashMap::new();
        for others in items.iter().filter_map(|item| self.counts.get(item)) {
            for (&other, &count) in others.iter().filter(|(_, count)| **count >= least) {
                let have = buyers.get(other as usize).copied().unwrap_or(0).max(count);
                *sums.entry(other).or_default() += count as f32 / (have as f32 + PRIOR);
            }
        }
        let capped = sums.into_iter().map(|(idx, sum)| Scored { idx, score: sum.min(1.0) });
        let mut best: Vec<Scored> = capped.filter(|s| !items.contains(&s.idx)).collect();
        keep_top(&mut best, PROPOSED);
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_count_both_ways_until_a_model_knows_them() {
        let mut overlay = Overlay::default();
        overlay.note(10, 7, &[1, 2]);
        overlay.note(11, 7, &[1]);
        let buyers = [0, 50, 1, 0, 0, 0, 0, 2];
        let of = |overlay: &Overlay, item, least| overlay.beside(&[item], least, &buyers);
        assert_eq!(of(&overlay, 1, 1), [Scored { idx: 7, score: 2.0 / 5.0 }]);
        assert_eq!(of(&overlay, 2, 2), []);
        let beside: Vec<u32> = of(&overlay, 7, 1).iter().map(|s| s.idx).collect();
        assert_eq!(beside, [2, 1], "of item 2's only buyer all took it, of item 1's few");
        overlay.forget_before(11);
        assert_eq!(of(&overlay, 2, 1), []);
        assert_eq!(of(&overlay, 1, 1).len(), 1);
        overlay.forget_before(12);
        assert!(overlay.counts.is_empty() && overlay.pairs.is_empty());
    }

    #[test]
    fn the_oldest_pairs_leave() {
        let mut overlay = Overlay::default();
        for n in 0..PAIRS as u32 + 10 {
            overlay.note(u64::from(n), n, &[n + 1]);
        }
        assert_eq!(overlay.pairs.len(), PAIRS);
        assert!(overlay.beside(&[5], 1, &[]).is_empty());
    }
}
