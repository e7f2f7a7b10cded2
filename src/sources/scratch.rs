//! Working memory that requests reuse, so that a request allocates next to nothing.

use crate::domain::HistoryEvent;
use crate::domain::history::Bought;
use crate::domain::topk::{Scored, Threshold, keep_top};
use crate::live::ItemMask;
use crate::matrix::recent::Recent;
use crate::matrix::weight::Cell;
use crate::model::Source;
use crate::model::second_stage::Features;
use crate::model::vectors::graph::SearchState;

/// The working memory of one request. Grows to the store's size and stays.
#[derive(Debug, Default)]
pub struct Scratch {
    /// What may be offered.
    pub mask: ItemMask,
    /// The user's row of the matrix.
    pub profile: Vec<Cell>,
    /// The user's events, in whatever order a step needs.
    pub(crate) events: Vec<HistoryEvent>,
    /// The items that the user dealt with last.
    pub(crate) recent: Vec<Recent>,
    /// What the user bought, by item.
    pub(crate) bought: Vec<Bought>,
    /// Scores of items.
    pub(crate) items: Accumulator,
    /// Similarities of users.
    pub(crate) users: Accumulator,
    /// Blended scores of items.
    pub(crate) blended: Accumulator,
    /// By item: the largest contribution and its source.
    pub(crate) lead: Vec<(f32, Source)>,
    /// Candidates of each source of the blend.
    pub(crate) lists: [Vec<Scored>; Source::BLENDED.len()],
    /// By item: its position among the candidates of the second stage.
    pub(crate) slots: Vec<u32>,
    /// Features of the candidates of the second stage.
    pub(crate) rows: Vec<Features>,
    /// The user's embedding.
    pub(crate) query: Vec<f32>,
    /// Candidates of one source.
    pub(crate) candidates: Vec<Scored>,
    /// The users most similar to the one of the last list, where user CF was asked.
    pub(crate) neighbours: Vec<u32>,
    /// By item of the user's: when they last bought it.
    pub(crate) last_ms: ahash::AHashMap<u32, i64>,
    pub(crate) search: SearchState,
}

impl Scratch {
    /// The number of candidates that each source of the blend proposed to the last blended list.
    pub fn proposed(&self) -> impl Iterator<Item = usize> {
        self.lists.iter().map(Vec::len)
    }
}

/// Sums by dense id: adding is two array writes, and clearing costs only what
/// was touched.
#[derive(Debug, Default)]
pub struct Accumulator {
    sums: Vec<f32>,
    /// Ids that may have sums other than 0, first `len` entries.
    touched: Vec<u32>,
    /// Number of valid entries of `touched`.
    len: usize,
}

impl Accumulator {
    /// Makes room for ids below `len`.
    pub fn reserve(&mut self, len: usize) {
        if self.sums.len() < len {
            self.sums.resize(len, 0.0);
        }
    }

    /// Adds a positive value to an id below the reserved length, without a branch on whether the id
    /// is new: it would be mispredicted, and stall on memory.
    #[inline]
    pub fn add(&mut self, idx: u32, value: f32) {
        if self.len == self.touched.len() {
            self.touched.resize(2 * self.len + 64, 0);
        }
        let sum = &mut self.sums[idx as usize];
        self.touched[self.len] = idx;
        self.len += usize::from(*sum == 0.0);
        *sum += value;
    }

    /// Whether anything was added to an id below the reserved length.
    #[inline]
    pub fn holds(&self, idx: u32) -> bool {
        self.sums[idx as usize] != 0.0
    }

    /// The best `k` of some ids by their sums, of those above 0, best first; nothing changes.
    pub fn best_among(&self, k: usize, ids: impl Iterator<Item = u32>) -> Vec<Scored> {
        let sum = |idx: u32| self.sums.get(idx as usize).copied().unwrap_or(0.0);
        let scored = ids.map(|idx| Scored { idx, score: sum(idx) });
        let mut best: Vec<Scored> = scored.filter(|s| s.score > 0.0).collect();
        keep_top(&mut best, k);
        best
    }

    /// The ids that anything was added to.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.touched[..self.len].iter().copied()
    }

    /// Moves the best `k` sums above 0 whose ids pass into `best`, best first,
    /// and leaves the accumulator empty.
    pub fn drain_top(&mut self, k: usize, passes: impl Fn(u32) -> bool, best: &mut Vec<Scored>) {
        best.clear();
        let mut threshold = Threshold::new(k.min(self.len));
        for &idx in &self.touched[..std::mem::take(&mut self.len)] {
            let score = std::mem::take(&mut self.sums[idx as usize]);
            if score > 0.0 && passes(idx) {
                threshold.push(best, Scored { idx, score });
            }
        }
        keep_top(best, k);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_leaves_nothing_behind() {
        let mut sums = Accumulator::default();
        sums.reserve(5);

        let mut best = Vec::new();
        for _ in 0..2 {
            for (idx, value) in [(1, 1.0), (4, 2.0), (1, 2.0), (2, 0.0), (3, 9.0)] {
                sums.add(idx, value);
            }
            sums.drain_top(2, |idx| idx != 3, &mut best);
            assert_eq!(
                best.iter().map(|s| (s.idx, s.score)).collect::<Vec<_>>(),
                [(1, 3.0), (4, 2.0)]
            );
        }
    }
}
