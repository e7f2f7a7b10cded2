//! Prepares vectors that were trained elsewhere for search and fold-in: lengths of at most 1, and
//! the shared part of users' systems.

use ndarray::ArrayView2;

use super::ials::shared;
use crate::domain::kernels::dot;
use crate::model::Embeddings;
use crate::model::pushed::facts::{FoldIn, Metric};
use crate::model::vectors::embeddings::Ridge;

/// Embeddings from item vectors, row by row, zeros for an item without one; any lengths. Without a
/// graph.
pub fn embeddings(
    mut vectors: Vec<f32>,
    dimensions: usize,
    metric: Metric,
    fold_in: FoldIn,
) -> Embeddings {
    let length = |row: &[f32]| dot(row, row).sqrt();
    let longest = vectors.chunks_exact(dimensions).map(length).fold(0.0, f32::max);
    if longest == 0.0 {
        return Embeddings::default();
    }

    let mut scale = longest;
    if metric == Metric::Cosine {
        scale = 1.0;
        for row in vectors.chunks_exact_mut(dimensions) {
            let by = length(row).max(f32::MIN_POSITIVE);
            row.iter_mut().for_each(|x| *x /= by);
        }
    } else {
        vectors.iter_mut().for_each(|x| *x /= longest);
    }

    let has = |row: &[f32]| f32::from(u8::from(row.iter().any(|&x| x != 0.0)));
    let placed: Vec<f32> = vectors.chunks_exact(dimensions).map(has).collect();
    let ridge = match fold_in {
        FoldIn::Sum => None,
        FoldIn::LeastSquares { unobserved_weight, regularisation } => {
            let y = ArrayView2::from_shape((placed.len(), dimensions), &vectors).ok();
            // λ itself, not times the weight of a user's events: `all` is much larger than that.
            let all = unobserved_weight * placed.iter().sum::<f32>();
            y.map(|y| Ridge {
                gram: shared(y, unobserved_weight).into_raw_vec_and_offset().0,
                each: regularisation / (scale * scale) / all,
                all,
            })
        }
    };

    let mut made =
        Embeddings { dimensions, vectors, fold_in: placed, ridge, ..Embeddings::default() };
    made.encode();
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::weight::Cell;

    fn user(embeddings: &Embeddings) -> Vec<f32> {
        let cell = |item, weight| Cell { item, weight, last_ms: 0 };
        let mut query = Vec::new();
        embeddings.user_vector(&[cell(0, 1.0), cell(2, 0.5)], &mut query);
        query
    }

    #[test]
    fn vectors_of_any_length_are_searched_at_most_one_long() {
        let given = vec![3.0, 4.0, 0.0, 0.0, 0.0, 2.0];
        let inner = embeddings(given.clone(), 2, Metric::InnerProduct, FoldIn::Sum);
        assert_eq!(inner.vectors, [0.6, 0.8, 0.0, 0.0, 0.0, 0.4]);
        assert_eq!(inner.fold_in, [1.0, 0.0, 1.0]);
        assert_eq!(user(&inner), [0.6, 0.8 + 0.2]);
        let cosine = embeddings(given, 2, Metric::Cosine, FoldIn::Sum);
        assert_eq!(cosine.vectors, [0.6, 0.8, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_user_is_the_solution_of_their_least_squares_whatever_the_scale() {
        let given = vec![3.0, 4.0, 0.0, 0.0, 0.0, 2.0];
        let fold_in = FoldIn::LeastSquares { unobserved_weight: 0.5, regularisation: 0.1 };
        let made = embeddings(given.clone(), 2, Metric::InnerProduct, fold_in);
        let q: Vec<f32> = user(&made).iter().map(|x| x / 5.0).collect();

        // (α YᵀY + Σ x y yᵀ + λ) q = Σ x y in the given vectors.
        let weights = [1.0, 0.0, 0.5];
        for d in 0..2 {
            let mut left = 0.1 * q[d];
            let mut right = 0.0;
            for (y, x) in given.chunks(2).zip(weights) {
                left += (0.5 + x) * (y[0] * q[0] + y[1] * q[1]) * y[d];
                right += x * y[d];
            }
            assert!((left - right).abs() < 0.02 * right, "{left} {right}");
        }
    }
}
