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
use crate::domain::{ItemIdx, Offset, UserIdx};

/// Pairs that are remembered; the oldest leave. By estimate 100 bytes each.
const PAIRS: usize = 500_000;
/// Of a shopper's items, the newest so many make pairs with the one they take.
pub const PARTNERS: usize = 8;
/// Shoppers who have an item by which a share is held to be no better than it is.
const PRIOR: f32 = 3.0;
/// Most items that are proposed.
const PROPOSED: usize = 100;

/// Shoppers by item and by what they took beside it.
type Counts = AHashMap<ItemIdx, AHashMap<ItemIdx, u32>>;

/// A shopper took two items.
#[derive(Debug, Clone, Copy)]
struct Pair {
    /// When they took the second.
    offset: Offset,
    user: UserIdx,
    items: (ItemIdx, ItemIdx),
}

/// Counts of pairs since a training.
#[derive(Debug, Default)]
pub struct Overlay {
    counts: Counts,
    pairs: VecDeque<Pair>,
}

impl Overlay {
    /// The shopper `user` took `item`, by the record at `offset`, who took `others` before.
    pub fn note(&mut self, offset: Offset, user: UserIdx, item: ItemIdx, others: &[ItemIdx]) {
        for &other in others {
            *self.counts.entry(item).or_default().entry(other).or_default() += 1;
            *self.counts.entry(other).or_default().entry(item).or_default() += 1;
            self.pairs.push_back(Pair { offset, user, items: (item, other) });
        }
        while self.pairs.len() > PAIRS {
            self.forget_oldest();
        }
    }

    /// A model knows the log before `offset`: what was counted up to there goes.
    pub fn forget_before(&mut self, offset: Offset) {
        while self.pairs.front().is_some_and(|pair| pair.offset < offset) {
            self.forget_oldest();
        }
    }

    /// Forgets what a shopper took.
    pub fn forget_user(&mut self, user: UserIdx) {
        let Self { counts, pairs } = self;
        pairs.retain(|pair| {
            if pair.user == user {
                uncount(counts, pair.items);
            }
            pair.user != user
        });
    }

    fn forget_oldest(&mut self) {
        if let Some(pair) = self.pairs.pop_front() {
            uncount(&mut self.counts, pair.items);
        }
    }

    /// Items taken with any of `items` by at least `least` shoppers, best first, with scores
    /// from 0 to 1; `buyers[j]`: how many have item j.
    pub fn beside(&self, items: &[ItemIdx], min: u32, buyers: &[u32]) -> Vec<Scored> {
        let mut sums: AHashMap<ItemIdx, f32> = AHashMap::new();
        for others in items.iter().filter_map(|item| self.counts.get(item)) {
            for (&other, &count) in others.iter().filter(|(_, count)| **count >= min) {
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

fn uncount(counts: &mut Counts, (a, b): (ItemIdx, ItemIdx)) {
    for (item, other) in [(a, b), (b, a)] {
        let Some(others) = counts.get_mut(&item) else { continue };
        if let Some(count) = others.get_mut(&other) {
            *count -= 1;
            if *count == 0 {
                others.remove(&other);
            }
        }
        if others.is_empty() {
            counts.remove(&item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_count_both_ways_until_a_model_knows_them() {
        let mut overlay = Overlay::default();
        overlay.note(10, 0, 7, &[1, 2]);
        overlay.note(11, 1, 7, &[1]);
        let buyers = [0, 50, 1, 0, 0, 0, 0, 2];
        let of = |overlay: &Overlay, item, min| overlay.beside(&[item], min, &buyers);
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
    fn an_erased_user_leaves_no_pair() {
        let mut overlay = Overlay::default();
        overlay.note(10, 0, 7, &[1, 2]);
        overlay.note(11, 1, 7, &[1]);
        overlay.forget_user(0);
        assert_eq!(overlay.beside(&[7], 1, &[]).len(), 1);
        overlay.forget_user(1);
        assert!(overlay.counts.is_empty() && overlay.pairs.is_empty());
    }

    #[test]
    fn the_oldest_pairs_leave() {
        let mut overlay = Overlay::default();
        for n in 0..PAIRS as u32 + 10 {
            overlay.note(u64::from(n), 0, n, &[n + 1]);
        }
        assert_eq!(overlay.pairs.len(), PAIRS);
        assert!(overlay.beside(&[5], 1, &[]).is_empty());
    }
}
