//! What is learned: the vectors of items, and the weights of steps.

use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

use crate::domain::kernels::dot;
use crate::matrix::Csr;
use crate::model::Embeddings;

/// Dimensions of a vector.
pub(super) const DIMENSIONS: usize = 64;
/// Steps further back than this have no influence.
pub const STEPS_BACK: usize = 20;
/// Items further back than this have no influence.
pub const ITEMS_BACK: usize = 32;
/// Bytes of an item's vector and of its quantized copy.
pub const BYTES_PER_ITEM: u64 = 5 * DIMENSIONS as u64;
/// Bytes of an example, with the items before it while they are collected.
pub const BYTES_PER_EXAMPLE: u64 = 100;
/// The temperature of the softmax.
pub(super) const TEMPERATURE: f32 = 0.07;
/// What the weight of a step loses to the one after it before anything is learned, as a logarithm.
const START: f32 = 0.3;

/// What is learned: vectors of the items, and their weights by steps back.
pub(super) struct Learned {
    /// Items × dimensions.
    pub(super) vectors: Vec<f32>,
    /// The logarithms of the weights.
    pub(super) fading: [f32; STEPS_BACK],
}

impl Learned {
    /// Random vectors of the items that occur.
    pub(super) fn begin(occurrences: &[u32], rng: &mut StdRng) -> Self {
        let spread = (DIMENSIONS as f32).sqrt().recip();
        let mut vectors = vec![0.0; occurrences.len() * DIMENSIONS];
        for (vector, &count) in vectors.chunks_exact_mut(DIMENSIONS).zip(occurrences) {
            if count > 0 {
                vector.fill_with(|| {
                    let drawn: f32 = StandardNormal.sample(rng);
                    drawn * spread
                });
            }
        }
        Self { vectors, fading: std::array::from_fn(|back| -START * back as f32) }
    }

    pub(super) fn vector(&self, item: u32) -> &[f32] {
        let start = item as usize * DIMENSIONS;
        &self.vectors[start..start + DIMENSIONS]
    }

    /// Vectors of length 1, which fold in with the length that was learned.
    pub(super) fn finish(mut self, occurrences: &[u32]) -> (Embeddings, Csr) {
        let mut lengths = vec![0.0; occurrences.len()];
        for (vector, length) in self.vectors.chunks_exact_mut(DIMENSIONS).zip(&mut lengths) {
            *length = dot(vector, vector).sqrt();
            if *length > 0.0 {
                vector.iter_mut().for_each(|x| *x /= *length);
            }
        }
        let most = self.fading.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights = (0..).zip(self.fading.map(|weight| (weight - most).exp()));
        let embeddings = Embeddings {
            dimensions: DIMENSIONS,
            vectors: self.vectors,
            fold_in: lengths,
            ..Embeddings::default()
        };
        (embeddings, Csr::from_rows(STEPS_BACK, vec![weights.collect()]))
    }
}
