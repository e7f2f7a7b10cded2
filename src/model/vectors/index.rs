//! What a search reads, derived from the vectors and the graph when a model is loaded or built.

use crate::domain::topk::Scored;
use crate::model::Ann;
use crate::model::vectors::blocks::Blocks;
use crate::model::vectors::by_length::{ByLength, Wanted};
use crate::model::vectors::graph::{self, SearchState, Vectors};
use crate::model::vectors::quantized::QuantizedVectors;

/// Longest vectors scored for each candidate of a search, at most: about what the candidate costs.
const PER_CANDIDATE: usize = 32;

/// The index of a catalogue's vectors; empty without a graph.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Index {
    /// The base layer of the graph.
    blocks: Blocks,
    /// The longest vectors, which every search scans first.
    longest: ByLength,
    /// The vectors that no path of the graph leads to.
    side: ByLength,
    /// Number of vectors.
    count: usize,
}

impl Index {
    /// The index of these vectors, of which `count` are not zero.
    pub fn new(
        ann: &Ann,
        vectors: Vectors<'_>,
        quantized: &QuantizedVectors,
        count: usize,
    ) -> Self {
        let Some(base) = ann.layers.first() else { return Self::default() };
        Self {
            blocks: Blocks::new(base, quantized),
            longest: ByLength::longest(vectors),
            side: ByLength::of(&ann.side, vectors),
            count,
        }
    }

    /// Replaces the vectors that no path leads to.
    pub(super) fn set_side(&mut self, side: &[u32], vectors: Vectors<'_>) {
        self.side = ByLength::of(side, vectors);
    }

    /// Whether the last search visited every vector: a scan would find no more.
    pub(super) fn is_exhausted(&self, search: &SearchState) -> bool {
        search.visited() >= self.count
    }

    /// Approximately the best `keep` allowed items, of which the best `k` are wanted, in no
    /// particular order: those of the longest vectors, and unless no other item can be among the
    /// best `k`, those that the graph finds with `ef` candidates.
    pub(super) fn search(
        &self,
        ann: &Ann,
        query: &[f32],
        (k, keep, ef): (usize, usize, usize),
        allows: &impl Fn(u32) -> bool,
        search: &mut SearchState,
    ) -> Vec<Scored> {
        let Some((_, upper)) = ann.layers.split_first() else { return Vec::new() };
        let wanted = Wanted { k, keep, most: PER_CANDIDATE * ef };
        let mut found = Vec::new();
        if self.longest.scan(query, wanted, allows, &mut found) {
            return found;
        }

        let scorer = self.blocks.scorer(query);
        let start = graph::descend(&scorer, upper, ann.entry);
        graph::best_first(&scorer, &self.blocks, (start, &found), ef, allows, search);
        self.side.offer_to(search, query, ef, allows);
        let best = search.best();
        best[..best.len().min(keep)].to_vec()
    }
}
