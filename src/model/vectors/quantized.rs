//! Vectors quantized to eight bits per dimension: a quarter of the memory to read in each step of
//! a search. What they find is rescored exactly.

use crate::domain::kernels::{dot_quantized, dot_quantized_here};
use crate::model::vectors::graph::{Score, Vectors};

/// Maximum code.
const CODES: f32 = 127.0;
/// Maximum code of a query, which is not stored and may be finer.
const QUERY_CODES: f32 = 4_095.0;

/// All vectors: a code per dimension, and a scale per vector.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QuantizedVectors {
    dimensions: usize,
    values: Vec<i8>,
    scales: Vec<f32>,
}

impl QuantizedVectors {
    /// Quantizes all vectors.
    pub fn new(vectors: Vectors<'_>) -> Self {
        let mut values = Vec::with_capacity(vectors.values.len());
        let mut scales = Vec::new();
        for row in vectors.values.chunks_exact(vectors.dimensions) {
            let scale = scale(row, CODES);
            values.extend(row.iter().map(|x| (x / scale).round() as i8));
            scales.push(scale);
        }
        Self { dimensions: vectors.dimensions, values, scales }
    }

    /// Whether there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Dimensions of a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The codes of a vector, and the value of one code.
    #[inline(always)]
    pub fn row(&self, node: usize) -> (&[i8], f32) {
        let start = node * self.dimensions;
        (&self.values[start..start + self.dimensions], self.scales[node])
    }

    /// A scorer of items against a query.
    pub fn scorer(&self, query: &[f32]) -> QuantizedScore<'_> {
        QuantizedScore { quantized: self, query: QuantizedQuery::new(query) }
    }
}

/// A quantized query.
#[derive(Debug)]
pub struct QuantizedQuery {
    /// A code per dimension.
    pub codes: Vec<i16>,
    /// The value of one code.
    pub scale: f32,
}

impl QuantizedQuery {
    /// Quantizes a query.
    pub fn new(query: &[f32]) -> Self {
        let scale = scale(query, QUERY_CODES);
        Self { codes: query.iter().map(|x| (x / scale).round() as i16).collect(), scale }
    }
}

/// The value of one code, where `max` stands for the largest value.
fn scale(row: &[f32], max: f32) -> f32 {
    row.iter().fold(f32::MIN_POSITIVE * max, |largest, x| largest.max(x.abs())) / max
}

/// A query against quantized vectors.
#[derive(Debug)]
pub struct QuantizedScore<'a> {
    quantized: &'a QuantizedVectors,
    query: QuantizedQuery,
}

impl QuantizedScore<'_> {
    /// The score of an item, for a caller that is not dispatched itself.
    pub fn of(&self, item: usize) -> f32 {
        self.by(dot_quantized, item)
    }

    #[inline(always)]
    fn by(&self, dot: impl Fn(&[i8], &[i16]) -> i32, item: usize) -> f32 {
        let (codes, scale) = self.quantized.row(item);
        dot(codes, &self.query.codes) as f32 * scale * self.query.scale
    }
}

impl Score for QuantizedScore<'_> {
    #[inline(always)]
    fn score(&self, node: u32) -> f32 {
        self.by(dot_quantized_here, node as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn scores_are_near_the_exact_ones(
            values in prop::collection::vec(-1.0f32..1.0, 3 * 20),
            query in prop::collection::vec(-1.0f32..1.0, 20),
        ) {
            let codes = QuantizedVectors::new(Vectors { dimensions: 20, values: &values });
            let scorer = codes.scorer(&query);
            for (node, row) in (0u32..).zip(values.chunks(20)) {
                let exact: f32 = row.iter().zip(&query).map(|(a, b)| a * b).sum();
                prop_assert!((scorer.score(node) - exact).abs() < 20.0 * 0.006, "{exact}");
            }
        }
    }

    #[test]
    fn nothing_is_coded_as_nothing() {
        let codes =
            QuantizedVectors::new(Vectors { dimensions: 2, values: &[0.0, 0.0, 1.0, -1.0] });
        let scorer = codes.scorer(&[0.5, 0.0]);
        assert_eq!(scorer.score(0), 0.0);
        assert!((scorer.score(1) - 0.5).abs() < 1e-3);
        assert_eq!(codes.scorer(&[0.0, 0.0]).score(1), 0.0);
    }
}
