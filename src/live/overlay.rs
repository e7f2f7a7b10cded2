//! Pairs of items that the same users took since the model was trained, counted as they happen. So
//! a new item has neighbours, and a new user's purchases help others, at once; the next training
//! takes over all of it.
//!
//! Of the users with item j, the share that took i beside it: conf(i → j) = c_ij / (n_j + 3), with
//! c_ij the users since the training and n_j all users with j: near 0 for an item that many have
//! had for long, which the model knows better.

use std::collections::VecDeque;

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use crate::domain::topk::{Scored, keep_top};
use crate::domain::{ItemIdx, Offset, UserIdx};

/// Maximum number of pairs; the oldest leave. About 100 bytes each.
const PAIRS: usize = 500_000;
/// Newest items of a user that form pairs with an item they take.
pub const PARTNERS: usize = 8;
/// Pseudo-count of users, which shrinks shares with little support.
const PRIOR: f32 = 3.0;
/// Maximum number of proposed items.
const PROPOSED: usize = 100;

/// Users by item and by the item they took beside it.
type PairCounts = AHashMap<ItemIdx, AHashMap<ItemIdx, u32>>;

/// A user took two items.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Pair {
    /// Offset of the second event.
    offset: Offset,
    user: UserIdx,
    items: (ItemIdx, ItemIdx),
}

/// PairCounts of pairs since a training.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Overlay {
    counts: PairCounts,
    pairs: VecDeque<Pair>,
}

impl Overlay {
    /// Notes that `user` took `item`, by the record at `offset`, after `others`.
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

    /// Removes the pairs up to `offset`, which a model knows.
    pub fn forget_before(&mut self, offset: Offset) {
        while self.pairs.front().is_some_and(|pair| pair.offset < offset) {
            self.forget_oldest();
        }
    }

    /// Erases a user's pairs.
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

    /// Items taken with any of `items` by at least `min` users, best first, with scores from 0 to
    /// 1; `buyers[j]`: the number of users with item j.
    pub fn taken_with(&self, items: &[ItemIdx], min: u32, buyers: &[u32]) -> Vec<Scored> {
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

fn uncount(counts: &mut PairCounts, (a, b): (ItemIdx, ItemIdx)) {
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
        let of = |overlay: &Overlay, item, min| overlay.taken_with(&[item], min, &buyers);
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
        assert_eq!(overlay.taken_with(&[7], 1, &[]).len(), 1);
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
        assert!(overlay.taken_with(&[5], 1, &[]).is_empty());
    }
}
