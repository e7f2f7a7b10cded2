//! Embeddings by randomised singular value decomposition (Halko, Martinsson
//! and Tropp, arXiv 0909.4061) of A = D_u^-½ X D_i^-½.
//!
//! The subspace iteration runs on the smaller side, Q ← orth(Aᵀ(A Q)) or
//! Q ← orth(A(Aᵀ Q)), then the small symmetric eigenproblem of what Q is mapped to;
//! only the right singular vectors V are wanted. Item i becomes √n_i v_i; all are scaled so that the longest is 1.

use faer::Mat;
use ndarray::{Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::TrainError;
use super::cooccurrence::weighted_degrees;
use crate::domain::kernels::add;
use crate::domain::progress::Control;
use crate::matrix::{Csr, Interactions};
use crate::model::Embeddings;
use crate::model::settings::EmbeddingSettings;

/// Columns drawn in addition to those kept, for accuracy.
pub const OVERSAMPLING: usize = 10;

/// Rows of the larger side that are mapped at a time.
pub const BLOCK: usize = 16_384;

/// How many singular vectors are wanted, and how they are found.
#[derive(Debug, Clone, Copy)]
pub struct Rank {
    /// Singular vectors.
    pub dimensions: usize,
    /// Power iterations.
    pub power_iterations: usize,
    /// Seed of the first subspace.
    pub seed: u64,
}

/// Singular values below this are those of what A maps to nothing; the largest is 1.
const NOTHING: f32 = 1e-5;

/// Trains vectors of all items, without a graph.
///
/// # Errors
/// [`TrainError::Cancelled`], or [`TrainError::Factorisation`].
pub fn train(
    matrix: &Interactions,
    settings: &EmbeddingSettings,
    seed: u64,
    control: &Control<'_>,
) -> Result<Embeddings, TrainError> {
    let EmbeddingSettings { dimensions, power_iterations, .. } = *settings;
    let rank = Rank { dimensions, power_iterations, seed };
    let mut vectors = right_vectors(matrix, rank, control)?;
    let n_items = weighted_degrees(&matrix.by_item);
    for (mut row, n) in vectors.axis_iter_mut(Axis(0)).zip(&n_items) {
        row *= n.sqrt();
    }

    vectors /= longest(&vectors)?;
    let fold_in = n_items.iter().map(|&n| if n > 0.0 { 1.0 / n } else { 0.0 }).collect();
    let vectors = vectors.into_raw_vec_and_offset().0;
    Ok(Embeddings { dimensions, vectors, fold_in, ..Embeddings::default() })
}

/// The first right singular vectors of A, items × dimensions; zeros where there are fewer.
///
/// # Errors
/// [`TrainError::Cancelled`], or [`TrainError::Factorisation`].
pub fn right_vectors(
    matrix: &Interactions,
    rank: Rank,
    control: &Control<'_>,
) -> Result<Array2<f32>, TrainError> {
    let users = matrix.by_user.rows();
    let items = matrix.by_item.rows();
    let n_items = weighted_degrees(&matrix.by_item);
    let n_users = weighted_degrees(&matrix.by_user);
    let a = normalised(&matrix.by_user, &n_users, &n_items);
    let a_t = normalised(&matrix.by_item, &n_items, &n_users);
    let columns = (rank.dimensions + OVERSAMPLING).min(users).min(items);
    let mut rng = StdRng::seed_from_u64(rank.seed);

    // Both sides have the same singular values: iterate on the smaller.
    let (small, to_small, to_large) =
        if users < items { (users, &a, &a_t) } else { (items, &a_t, &a) };
    let draws = (0..small * columns).map(|_| StandardNormal.sample(&mut rng)).collect();

    let mut q: Array2<f32> = shaped(small, columns, draws);
    for _ in 0..=rank.power_iterations {
        control.check()?;
        q = squared(to_large, to_small, &q);
        make_orthonormal(&mut q);
    }

    let gram = q.t().dot(&squared(to_large, to_small, &q));
    let (rotation, values) = rotation(&gram, rank.dimensions)?;
    let of_small = q.dot(&rotation);
    let mut v = if users < items { times(&a_t, of_small.view()) } else { of_small };
    for (mut column, value) in v.axis_iter_mut(Axis(1)).zip(values) {
        // Right singular vectors from left ones: V = Aᵀ U / σ.
        let scale = if users < items { 1.0 / value } else { 1.0 };
        column *= if value > NOTHING { scale } else { 0.0 };
    }
    Ok(v)
}

/// Length of the longest row.
///
/// # Errors
/// [`TrainError::Factorisation`] where there is none, or it is not finite.
pub(super) fn longest(vectors: &Array2<f32>) -> Result<f32, TrainError> {
    let lengths = vectors.axis_iter(Axis(0)).map(|row| row.dot(&row).sqrt());
    let longest = lengths.fold(0.0, f32::max);
    if longest.is_finite() && longest > 0.0 {
        Ok(longest)
    } else {
        Err(TrainError::Factorisation("the vectors are not finite".to_owned()))
    }
}

/// The matrix with each cell divided by the root of both its degrees.
fn normalised(matrix: &Csr, row_degrees: &[f32], column_degrees: &[f32]) -> Csr {
    let mut scaled = matrix.clone();
    for (row, degree) in row_degrees.iter().enumerate() {
        let range = matrix.starts[row] as usize..matrix.starts[row + 1] as usize;
        for (value, &column) in scaled.values[range.clone()].iter_mut().zip(&matrix.columns[range])
        {
            *value /= degree.sqrt() * column_degrees[column as usize].sqrt();
        }
    }
    scaled
}

/// Aᵀ(A Q), where `to_large` is A and `to_small` its transpose, without all of A Q at a time, which is
/// as large as the larger side: block by block, so that it stays in the caches.
fn squared(to_large: &Csr, to_small: &Csr, q: &Array2<f32>) -> Array2<f32> {
    let columns = q.ncols();
    let q = q.as_standard_layout();
    let q = q.as_slice().unwrap_or_default();
    let mut out = vec![0.0f32; to_small.rows() * columns];
    let mut next = to_small.starts.clone();
    let mut mapped = vec![0.0f32; BLOCK.min(to_large.rows()) * columns];

    for first in (0..to_large.rows()).step_by(BLOCK) {
        let until = (first + BLOCK).min(to_large.rows());
        let mapped = &mut mapped[..(until - first) * columns];
        mapped.par_chunks_mut(columns).enumerate().for_each(|(row, sums)| {
            sums.fill(0.0);
            for (column, value) in to_large.pairs(first + row) {
                add(sums, value, &q[column as usize * columns..][..columns]);
            }
        });

        let rows = out.par_chunks_mut(columns).zip(&mut next).enumerate();
        rows.for_each(|(row, (sums, next))| {
            let rest = *next as usize..to_small.starts[row + 1] as usize;
            for (column, value) in
                to_small.columns[rest.clone()].iter().zip(&to_small.values[rest.clone()])
            {
                let column = *column as usize;
                if column >= until {
                    break;
                }
                add(sums, *value, &mapped[(column - first) * columns..][..columns]);
                *next += 1;
            }
        });
    }
    shaped(to_small.rows(), columns, out)
}

/// Sparse times dense, row by row, all cores.
fn times(sparse: &Csr, dense: ArrayView2<'_, f32>) -> Array2<f32> {
    let columns = dense.ncols();
    let dense = dense.as_standard_layout();
    let dense = dense.as_slice().unwrap_or_default();
    let mut out = vec![0.0f32; sparse.rows() * columns];
    out.par_chunks_mut(columns).enumerate().for_each(|(row, sums)| {
        for (column, value) in sparse.pairs(row) {
            add(sums, value, &dense[column as usize * columns..][..columns]);
        }
    });
    shaped(sparse.rows(), columns, out)
}

/// Replaces the columns by an orthonormal basis of them.
fn make_orthonormal(matrix: &mut Array2<f32>) {
    let columns = Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[[i, j]]);
    let q = columns.qr().compute_thin_Q();
    matrix.indexed_iter_mut().for_each(|((i, j), value)| *value = q[(i, j)]);
}

/// The rotation of a subspace Q to its singular vectors, largest first, with their singular values;
/// zeros where there are fewer than `dimensions`. `gram`: (A Q)ᵀ A Q.
fn rotation(gram: &Array2<f32>, dimensions: usize) -> Result<(Array2<f32>, Vec<f32>), TrainError> {
    let gram = Mat::from_fn(gram.nrows(), gram.ncols(), |i, j| f64::from(gram[[i, j]]));
    let eigen = gram
        .self_adjoint_eigen(faer::Side::Lower)
        .map_err(|e| TrainError::Factorisation(format!("{e:?}")))?;
    let vectors = eigen.U();
    let squares = eigen.S();
    let found = gram.ncols();

    // Eigenvalues ascend: the last column belongs to the largest.
    let rotation = Array2::from_shape_fn((found, dimensions), |(i, j)| {
        if j < found { vectors[(i, found - 1 - j)] as f32 } else { 0.0 }
    });
    let value = |j: usize| squares[found - 1 - j].max(0.0).sqrt() as f32;
    let values = (0..dimensions).map(|j| if j < found { value(j) } else { 0.0 }).collect();
    Ok((rotation, values))
}

fn shaped(rows: usize, columns: usize, values: Vec<f32>) -> Array2<f32> {
    Array2::from_shape_vec((rows, columns), values)
        .unwrap_or_else(|e| unreachable!("{rows} x {columns}: {e}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn as_many_dimensions_as_rank_rebuild_the_matrix() {
        // Two blocks of users with unequal sizes: rank 2.
        let rows: Vec<Vec<(u32, f32)>> = (0..10)
            .map(|u| (0..6).filter(|i| (i / 3 == 0) == (u < 4)).map(|i| (i, 1.0)).collect())
            .collect();
        let by_user = Csr::from_rows(6, rows.clone());
        let matrix =
            Interactions { by_item: by_user.transpose(), last_seconds: vec![0; 30], by_user };
        let settings = EmbeddingSettings { dimensions: 2, ..Default::default() };
        let cancel = AtomicBool::new(false);

        let control = Control::new(&|_| {}, &cancel);
        let Embeddings { vectors, fold_in, .. } = train(&matrix, &settings, 7, &control).unwrap();
        // A user's scores: all equal within the own block, zero outside.
        for user in [0, 9] {
            let mut q = [0.0f32; 2];
            for &(i, x) in &rows[user] {
                (0..2).for_each(|d| q[d] += x * fold_in[i as usize] * vectors[i as usize * 2 + d]);
            }

            let scores: Vec<f32> =
                (0..6).map(|i| q[0] * vectors[i * 2] + q[1] * vectors[i * 2 + 1]).collect();

            let own = rows[user][0].0 as usize;
            for (i, score) in scores.iter().enumerate() {
                let expected = if i / 3 == own / 3 { scores[own] } else { 0.0 };
                assert!((score - expected).abs() < 1e-4, "{scores:?}");
            }
            assert!(scores[own] > 0.01);
        }
        assert_eq!(train(&matrix, &settings, 7, &control).unwrap().vectors, vectors, "seeded");
    }
}
