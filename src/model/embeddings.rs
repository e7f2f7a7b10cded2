//! Item embeddings. A shopper has no stored vector: theirs is a sparse sum
//! over their history, so the newest click counts at once.
//!
//! With A = D_u^-½ X D_i^-½ ≈ U S Vᵀ: item i is y_i = √n_i v_i, and a history x
//! folds in as q = x D_i^-½ V = Σ_i x_i y_i / n_i; scores are ⟨q, y_i⟩. All y
//! share one scale that makes the longest 1, which changes no order.

use super::Ann;
use crate::domain::ItemIdx;
use crate::domain::topk::{Scored, keep_top};

/// Vectors of all items and the graph over them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Embeddings {
    /// Dimensions of a vector.
    pub dimensions: usize,
    /// Items × dimensions, row by row; norms at most 1; zeros for an item
    /// without interactions.
    pub vectors: Vec<f32>,
    /// 1 / n_i, the factor by which an item folds in; 0 without interactions.
    pub fold_in: Vec<f32>,
    /// The nearest-neighbour graph.
    pub ann: Ann,
}

impl Embeddings {
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

    /// Adds `weight` times an item to a shopper's vector of
    /// [`Embeddings::dimensions`] values.
    pub fn fold_in(&self, item: ItemIdx, weight: f32, query: &mut [f32]) {
        let Some(&norm) = self.fold_in.get(item as usize) else { return };
        for (q, v) in query.iter_mut().zip(self.vector(item)) {
            *q += weight * norm * v;
        }
    }

    /// The best `k` of `items` by inner product with `query`, best first.
    pub fn scan(
        &self,
        query: &[f32],
        items: impl Iterator<Item = ItemIdx>,
        k: usize,
    ) -> Vec<Scored> {
        let mut best: Vec<Scored> = Vec::with_capacity(4 * k.max(16));
        for idx in items {
            if self.fold_in.get(idx as usize).is_none_or(|&n| n == 0.0) {
                continue;
            }
            best.push(Scored { idx, score: dot(query, self.vector(idx)) });
            if best.len() == best.capacity() {
                crate::domain::topk::select_top(&mut best, k);
            }
        }
        keep_top(&mut best, k);
        best
    }
}

/// Inner product. Sixteen running sums let the compiler use whole registers.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_of_any_length() {
        for len in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let expected: f32 = a.iter().map(|x| x * 2.0).sum();
            assert_eq!(dot(&a, &vec![2.0; len]), expected);
        }
    }

    #[test]
    fn a_scan_skips_items_without_interactions() {
        let embeddings = Embeddings {
            dimensions: 2,
            vectors: vec![1.0, 0.0, 0.0, 0.0, 0.5, 0.5],
            fold_in: vec![1.0, 0.0, 0.5],
            ann: Ann::default(),
        };
        let found = embeddings.scan(&[0.0, 1.0], 0..9, 5);
        assert_eq!(found.iter().map(|s| s.idx).collect::<Vec<_>>(), [2, 0]);
        let mut query = [0.0; 2];
        embeddings.fold_in(2, 2.0, &mut query);
        embeddings.fold_in(7, 2.0, &mut query);
        assert_eq!(query, [0.5, 0.5]);
    }
}
