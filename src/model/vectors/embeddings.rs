//! Item embeddings. A user has no stored vector: it is a sparse sum over their history, so the
//! newest click counts at once.
//!
//! With A = D_u^-½ X D_i^-½ ≈ U S Vᵀ: item i is y_i = √n_i v_i, and a history x folds in as q = x
//! D_i^-½ V = Σ_i x_i y_i / n_i; scores are ⟨q, y_i⟩. All y share one scale that makes the longest
//! 1, which changes no order.
//!
//! With iALS a history folds in as the solution of the user's own least squares: (α YᵀY + Σ_i x_i
//! y_i y_iᵀ + λ) q = Σ_i x_i y_i.

use crate::domain::ItemIdx;
use crate::domain::kernels::{add, add_outer, dot};
use crate::domain::topk::{Scored, keep_top};
use crate::matrix::weight::Cell;
use crate::model::Ann;
use crate::model::vectors::graph::{self, ExactScore, SearchState, Vectors};
use crate::model::vectors::index::Index;
use crate::model::vectors::quantized::QuantizedVectors;

/// Maximum size of a catalogue whose embeddings are scanned: exact, and for the hundreds of
/// candidates of a blend no slower than a graph.
pub const SCAN_UP_TO: usize = 8_000;
/// A filtered search is worth it where the square of the number of allowed items is above this
/// times the number of items and of candidates. Its time grows with the candidates and with the share
/// of what is forbidden, a scan's with what is allowed; measured by `qianmian-bench graph`.
const DENSE: usize = 64;
/// Steps of conjugate gradients for a user's vector.
const STEPS: usize = 6;
/// A residual shorter than this share of the first counts as converged.
const SOLVED: f32 = 1e-6;

/// Vectors of all items and the graph over them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Embeddings {
    /// Dimensions of a vector.
    pub dimensions: usize,
    /// Items × dimensions, row by row; norms at most 1; zeros for an item
    /// without, or with too few interactions.
    pub vectors: Vec<f32>,
    /// The factor by which an item folds in: 1 / n_i with an SVD, 1 with iALS; 0
    /// without a vector.
    pub fold_in: Vec<f32>,
    /// The shared part of a user's system; none with an SVD.
    pub ridge: Option<Ridge>,
    /// The vectors quantized, quicker to read; empty for a catalogue that is scanned.
    pub quantized: QuantizedVectors,
    /// The nearest-neighbour graph; [`Embeddings::encode`] follows a change of its layers.
    pub ann: Ann,
    /// What a search reads.
    pub index: Index,
    /// Items whose vector is not of their behaviour, but of what they are; not stored.
    pub placed: Vec<ItemIdx>,
}

/// The shared part of all users' systems.
#[derive(Debug, Clone, PartialEq)]
pub struct Ridge {
    /// α YᵀY, dimensions × dimensions, row by row.
    pub gram: Vec<f32>,
    /// λ over the square of the vectors' scale.
    pub each: f32,
    /// The shared part of every user's regularisation: α |I|.
    pub all: f32,
}

impl Embeddings {
    /// Removes the vectors that are not of behaviour.
    pub fn remove_placed(&mut self) {
        for item in std::mem::take(&mut self.placed) {
            let start = item as usize * self.dimensions;
            self.vectors[start..start + self.dimensions].fill(0.0);
            self.fold_in[item as usize] = 0.0;
        }
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.fold_in.len()
    }

    /// An item's vector; empty for an item newer than the snapshot.
    #[inline]
    pub fn vector(&self, item: ItemIdx) -> &[f32] {
        let start = item as usize * self.dimensions;
        self.vectors.get(start..start + self.dimensions).unwrap_or(&[])
    }

    /// Writes a user's vector into `query`.
    pub fn user_vector(&self, profile: &[Cell], query: &mut Vec<f32>) {
        query.clear();
        query.resize(self.dimensions, 0.0);
        for cell in profile {
            self.fold_in(cell.item, cell.weight, query);
        }
        if let Some(ridge) = &self.ridge {
            self.solve(ridge, profile, query);
        }
    }

    /// The vector of a user by their row of the matrix.
    pub fn vector_of_row(&self, row: impl Iterator<Item = (ItemIdx, f32)>) -> Vec<f32> {
        let cells = row.map(|(item, weight)| Cell { item, weight, last_ms: 0 });
        let profile: Vec<Cell> = cells.collect();
        let mut vector = Vec::new();
        self.user_vector(&profile, &mut vector);
        vector
    }

    /// Replaces the right side of a user's system by its solution.
    fn solve(&self, ridge: &Ridge, profile: &[Cell], query: &mut [f32]) {
        let known = profile.iter().filter(|c| self.fold_in.get(c.item as usize).is_some());
        let (items, weights): (Vec<u32>, Vec<f32>) = known.map(|c| (c.item, c.weight)).unzip();
        let lambda = ridge.each * (weights.iter().sum::<f32>() + ridge.all);
        let apply = |x: &[f32], out: &mut [f32]| {
            let rows = ridge.gram.chunks_exact(self.dimensions);
            for ((sum, row), x_at) in out.iter_mut().zip(rows).zip(x) {
                *sum = dot(row, x) + lambda * x_at;
            }
            add_outer(out, &items, &weights, &self.vectors, x);
        };

        let mut residual = query.to_vec();
        let mut direction = query.to_vec();
        let mut product = vec![0.0; query.len()];
        query.fill(0.0);

        let mut before = dot(&residual, &residual);
        let enough = before * SOLVED * SOLVED;
        for _ in 0..STEPS {
            if before <= enough {
                break;
            }
            apply(&direction, &mut product);
            let step = before / dot(&direction, &product);
            add(query, step, &direction);
            add(&mut residual, -step, &product);
            let after = dot(&residual, &residual);
            let keep = after / before;
            direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = keep * *d + r);
            before = after;
        }
    }

    /// Adds `weight` times an item to a user's vector of [`Embeddings::dimensions`] values.
    pub fn fold_in(&self, item: ItemIdx, weight: f32, query: &mut [f32]) {
        let Some(&norm) = self.fold_in.get(item as usize) else { return };
        add(query, weight * norm, self.vector(item));
    }

    /// Quantizes the vectors, where the catalogue is large enough for it or has a graph.
    pub fn encode(&mut self) {
        let is_quantized = self.items() > SCAN_UP_TO || !self.ann.is_empty();
        self.quantized = if is_quantized && self.dimensions > 0 {
            QuantizedVectors::new(self.vectors())
        } else {
            QuantizedVectors::default()
        };
        let count = self.fold_in.iter().filter(|&&n| n > 0.0).count();
        self.index = Index::new(&self.ann, self.vectors(), &self.quantized, count);
    }

    /// Sets the items that no path of the graph leads to.
    pub fn set_side(&mut self, side: Vec<ItemIdx>) {
        let vectors = Vectors { dimensions: self.dimensions, values: &self.vectors };
        self.index.set_side(&side, vectors);
        self.ann.side = side;
    }

    /// The best `k` of `items` by inner product with `query`, best first.
    pub fn scan(
        &self,
        query: &[f32],
        items: impl Iterator<Item = ItemIdx>,
        k: usize,
    ) -> Vec<Scored> {
        graph::best_of(&ExactScore { vectors: self.vectors(), query }, self.placed(items), k)
    }

    /// The best `k` by quantized vectors, rescored exactly: nearly the same as [`Embeddings::scan`]
    /// in a fraction of the time.
    pub fn scan_quantized(
        &self,
        query: &[f32],
        items: impl Iterator<Item = ItemIdx>,
        k: usize,
    ) -> Vec<Scored> {
        if self.quantized.is_empty() {
            return self.scan(query, items, k);
        }
        let scorer = self.quantized.scorer(query);
        let mut found = graph::best_of(&scorer, self.placed(items), with_spare(k));
        self.score_exactly(query, &mut found);
        keep_top(&mut found, k);
        found
    }

    /// The vectors of all items.
    pub fn vectors(&self) -> Vectors<'_> {
        Vectors { dimensions: self.dimensions, values: &self.vectors }
    }

    /// Approximately the best `k` items by inner product with `query`, best first: those of the
    /// longest vectors, and unless no other can be among them, those that the graph finds with
    /// [`Ann::ef`] candidates, at least k.
    pub fn search(&self, query: &[f32], k: usize, search: &mut SearchState) -> Vec<Scored> {
        self.search_among(query, k, |_| true, search)
    }

    /// The same among the items that `allows` names.
    pub fn search_among(
        &self,
        query: &[f32],
        k: usize,
        allows: impl Fn(ItemIdx) -> bool,
        search: &mut SearchState,
    ) -> Vec<Scored> {
        let ef = self.ann.ef.max(k);
        let sizes = (k, with_spare(k), ef);
        let mut found = self.index.search(&self.ann, query, sizes, &allows, search);
        self.score_exactly(query, &mut found);
        keep_top(&mut found, k);
        found
    }

    /// Whether a search for the best `k` of `allowed` items is quicker than a scan of these, and finds
    /// nearly the same.
    pub fn is_searchable(&self, k: usize, allowed: usize) -> bool {
        let each = self.ann.ef.max(k) * self.items();
        !self.ann.is_empty() && allowed > SCAN_UP_TO && allowed.pow(2) > DENSE * each
    }

    /// Whether the last search visited every item with a vector: a scan would find no more.
    pub fn is_exhausted(&self, search: &SearchState) -> bool {
        self.index.is_exhausted(search)
    }

    /// Replaces quantized scores by exact ones.
    fn score_exactly(&self, query: &[f32], found: &mut [Scored]) {
        // All cache lines are on their way before the first product.
        let lines = found.iter().flat_map(|s| self.vector(s.idx).iter().step_by(16));
        std::hint::black_box(lines.fold(0, |sum, x| sum ^ x.to_bits()));
        found.iter_mut().for_each(|s| s.score = dot(query, self.vector(s.idx)));
    }

    /// Whether an item has a vector.
    #[inline]
    pub fn has(&self, item: ItemIdx) -> bool {
        self.fold_in.get(item as usize).is_some_and(|&n| n > 0.0)
    }

    /// Those of `items` that have a vector.
    fn placed(&self, items: impl Iterator<Item = ItemIdx>) -> impl Iterator<Item = ItemIdx> {
        items.filter(|&idx| self.has(idx))
    }
}

/// The number of quantized candidates that are scored exactly for the best `k`.
fn with_spare(k: usize) -> usize {
    k + k / 2 + 16
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn a_scan_skips_items_without_interactions() {
        let embeddings = Embeddings {
            dimensions: 2,
            vectors: vec![1.0, 0.0, 0.0, 0.0, 0.5, 0.5],
            fold_in: vec![1.0, 0.0, 0.5],
            ..Embeddings::default()
        };

        let found = embeddings.scan(&[0.0, 1.0], 0..9, 5);
        assert_eq!(found.iter().map(|s| s.idx).collect::<Vec<_>>(), [2, 0]);
        let mut query = [0.0; 2];
        embeddings.fold_in(2, 2.0, &mut query);
        embeddings.fold_in(7, 2.0, &mut query);
        assert_eq!(query, [0.5, 0.5]);
    }

    #[test]
    fn a_scan_of_codes_finds_what_a_scan_finds() {
        let mut rng = StdRng::seed_from_u64(1);
        let items = SCAN_UP_TO + 1;
        let mut embeddings = Embeddings {
            dimensions: 16,
            vectors: (0..16 * items).map(|_| rng.random_range(-0.25..0.25)).collect(),
            fold_in: vec![1.0; items],
            ..Embeddings::default()
        };

        embeddings.encode();
        assert!(!embeddings.quantized.is_empty());
        for item in 0..20 {
            let query = embeddings.vector(item);
            let all = 0..items as u32;
            let exact = embeddings.scan(query, all.clone().filter(|i| i % 3 == 0), 20);
            assert_eq!(embeddings.scan_quantized(query, all.filter(|i| i % 3 == 0), 20), exact);
        }
    }
}
