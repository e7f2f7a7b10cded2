//! Embeddings by implicit alternating least squares (Hu, Koren and Volinsky, ICDM
//! 2008), in the formulation of Rendle et al. (arXiv 2110.14037): minimises
//!
//! Σ over cells x_ui (1 − ⟨w_u, y_i⟩)² + α Σ over all u, i ⟨w_u, y_i⟩²
//!   + λ Σ_u (n_u + α |I|) |w_u|² + λ Σ_i (n_i + α |U|) |y_i|²
//!
//! with n the sum of a row's cells. Each side's rows are solved by a few steps of
//! conjugate gradients from where they stand (Takács, Pilászy and Tikk, RecSys 2011),
//! a block of rows at once, so that the part all rows share is one dense product.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayBase, ArrayView2, ArrayViewMut2, Axis, Data, DataMut, Ix2};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Normal};
use rayon::prelude::*;

use super::{TrainError, svd};
use crate::domain::kernels::{add, add_outer, dot};
use crate::domain::progress::Control;
use crate::matrix::{Csr, Interactions};
use crate::model::settings::EmbeddingSettings;
use crate::model::vectors::embeddings::{Embeddings, Ridge};

/// Rows that are solved together.
const BLOCK: usize = 64;
/// Steps of conjugate gradients per sweep.
const STEPS: usize = 3;
/// Standard deviation of the initial vectors.
const START: f32 = 0.1;

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
    let users = matrix.by_user.rows();
    let items = matrix.by_item.rows();
    let dimensions = settings.dimensions;
    let failed = |e: &dyn std::fmt::Display| TrainError::Factorisation(e.to_string());
    let spread = START / (dimensions as f32).sqrt();
    let draw = Normal::new(0.0, spread).map_err(|e| failed(&e))?;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut y = Array2::from_shape_simple_fn((items, dimensions), || draw.sample(&mut rng));

    // Items without users have no vector; shrunk towards zero, they would become subnormal numbers,
    // which processors are slow with.
    for (item, row) in rows_mut(&mut y).enumerate() {
        if matrix.by_item.degree(item) == 0 {
            row.fill(0.0);
        }
    }

    let mut w = Array2::zeros((users, dimensions));
    for _ in 0..settings.sweeps {
        control.check()?;
        sweep(&matrix.by_user, &y, &mut w, settings);
        sweep(&matrix.by_item, &w, &mut y, settings);
    }

    let longest = svd::longest(&y)?;
    y /= longest;
    let ridge = Ridge {
        gram: shared(y.view(), settings.unobserved).into_raw_vec_and_offset().0,
        each: settings.regularisation / (longest * longest),
        all: settings.unobserved * items as f32,
    };

    let known = |item| f32::from(u8::from(matrix.by_item.degree(item) > 0));
    Ok(Embeddings {
        dimensions,
        vectors: y.into_raw_vec_and_offset().0,
        fold_in: (0..items).map(known).collect(),
        ridge: Some(ridge),
        ..Embeddings::default()
    })
}

/// α YᵀY: the shared part of every row's system.
pub fn shared(y: ArrayView2<'_, f32>, unobserved: f32) -> Array2<f32> {
    let chunks = y.axis_chunks_iter(Axis(0), 4_096).into_par_iter();
    let parts: Vec<Array2<f32>> = chunks.map(|rows| rows.t().dot(&rows) * unobserved).collect();
    // Summed in order, so that rounding is the same every time.
    parts.iter().fold(Array2::zeros((y.ncols(), y.ncols())), |sum, part| sum + part)
}

/// Moves every row of `own` towards its solution for a fixed `other`.
fn sweep(cells: &Csr, other: &Array2<f32>, own: &mut Array2<f32>, settings: &EmbeddingSettings) {
    let gram = shared(other.view(), settings.unobserved);
    let all = settings.unobserved * other.nrows() as f32;
    let blocks = own.axis_chunks_iter_mut(Axis(0), BLOCK).into_par_iter().enumerate();
    blocks.for_each(|(block, rows)| {
        let ridges: Vec<f32> = (0..rows.nrows())
            .map(|at| cells.row(block * BLOCK + at).1.iter().sum::<f32>())
            .map(|n| settings.regularisation * (n + all))
            .collect();
        let other = other.as_slice().unwrap_or_default();
        let system = System { cells, first: block * BLOCK, gram: &gram, other, ridges };
        system.solve(rows);
    });
}

/// The systems of a block of rows: (α YᵀY + Σ_i x_i y_i y_iᵀ + λ_r) w_r = Σ_i x_i y_i.
struct System<'a> {
    cells: &'a Csr,
    first: usize,
    gram: &'a Array2<f32>,
    other: &'a [f32],
    ridges: Vec<f32>,
}

impl System<'_> {
    fn solve(&self, mut x: ArrayViewMut2<'_, f32>) {
        let shape = x.raw_dim();
        let mut residual = Array2::zeros(shape);
        let mut product = Array2::zeros(shape);
        self.apply(x.view(), &mut product);

        let dimensions = x.ncols();
        for (at, row) in rows_mut(&mut residual).enumerate() {
            for (column, value) in self.cells.pairs(self.first + at) {
                add(row, value, &self.other[column as usize * dimensions..][..dimensions]);
            }
        }

        residual -= &product;
        let mut direction = residual.clone();
        let squares = |m: &Array2<f32>| -> Vec<f32> { rows(m).map(|row| dot(row, row)).collect() };
        let mut before = squares(&residual);
        for _ in 0..STEPS {
            self.apply(direction.view(), &mut product);
            let mut steps = Vec::with_capacity(before.len());
            for ((square, direction), product) in
                before.iter().zip(rows(&direction)).zip(rows(&product))
            {
                let along = dot(direction, product);
                steps.push(if along > 0.0 { square / along } else { 0.0 });
            }
            let moved = rows_mut(&mut x).zip(rows(&direction));
            moved.zip(&steps).for_each(|((row, direction), &step)| add(row, step, direction));
            let left = rows_mut(&mut residual).zip(rows(&product));
            left.zip(&steps).for_each(|((row, product), &step)| add(row, -step, product));
            let after = squares(&residual);
            for (at, row) in rows_mut(&mut direction).enumerate() {
                let keep = if before[at] > 0.0 { after[at] / before[at] } else { 0.0 };
                row.iter_mut().for_each(|value| *value *= keep);
            }
            direction += &residual;
            before = after;
        }
    }

    /// Each row's matrix times that row of `x`.
    fn apply(&self, x: ArrayView2<'_, f32>, out: &mut Array2<f32>) {
        general_mat_mul(1.0, &x, self.gram, 0.0, out);
        for (at, (x, out)) in rows(&x).zip(rows_mut(out)).enumerate() {
            add(out, self.ridges[at], x);
            let (columns, values) = self.cells.row(self.first + at);
            add_outer(out, columns, values, self.other, x);
        }
    }
}

/// The rows of a row-major matrix.
fn rows<S: Data<Elem = f32>>(matrix: &ArrayBase<S, Ix2>) -> impl Iterator<Item = &[f32]> {
    matrix.as_slice().unwrap_or_default().chunks_exact(matrix.ncols())
}

fn rows_mut<S: DataMut<Elem = f32>>(
    matrix: &mut ArrayBase<S, Ix2>,
) -> impl Iterator<Item = &mut [f32]> {
    let columns = matrix.ncols();
    matrix.as_slice_mut().unwrap_or_default().chunks_exact_mut(columns)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::matrix::weight::Cell;

    /// Twenty users of two tastes, each with one item of their taste left out.
    fn trained() -> (Embeddings, Vec<Vec<(u32, f32)>>) {
        let rows: Vec<Vec<(u32, f32)>> = (0..20u32)
            .map(|u| {
                (0..12).filter(|i| i % 2 == u % 2 && i / 2 != u % 6).map(|i| (i, 1.0)).collect()
            })
            .collect();

        let by_user = Csr::from_rows(12, rows.clone());
        let last_seconds = vec![0; by_user.entries()];
        let matrix = Interactions { by_item: by_user.transpose(), last_seconds, by_user };
        let settings = EmbeddingSettings { dimensions: 4, sweeps: 20, ..Default::default() };
        let cancel = AtomicBool::new(false);
        let embeddings = train(&matrix, &settings, 7, &Control::new(&|_| {}, &cancel)).unwrap();
        (embeddings, rows)
    }

    #[test]
    fn what_a_user_left_out_is_proposed_first() {
        let (embeddings, rows) = trained();
        for (user, row) in (0u32..).zip(&rows) {
            let profile: Vec<Cell> =
                row.iter().map(|&(item, weight)| Cell { item, weight, last_ms: 0 }).collect();
            let mut query = Vec::new();
            embeddings.user_vector(&profile, &mut query);
            let others = (0..12).filter(|i| row.iter().all(|(item, _)| item != i));
            let best = embeddings.scan(&query, others, 1)[0];
            assert_eq!(best.idx, user % 6 * 2 + user % 2, "user {user}");
        }
    }

    #[test]
    fn a_user_folds_in_as_the_exact_solution() {
        let (embeddings, _) = trained();
        let ridge = embeddings.ridge.as_ref().unwrap();
        let profile =
            [Cell { item: 3, weight: 0.7, last_ms: 0 }, Cell { item: 5, weight: 0.2, last_ms: 0 }];
        let mut query = Vec::new();
        embeddings.user_vector(&profile, &mut query);

        let lambda = ridge.each * (0.9 + ridge.all);
        for d in 0..4 {
            let shared: f32 = (0..4).map(|e| ridge.gram[d * 4 + e] * query[e]).sum();
            let mut left = shared + lambda * query[d];
            let mut right = 0.0;
            for cell in &profile {
                let y = embeddings.vector(cell.item);
                let product: f32 = y.iter().zip(&query).map(|(a, b)| a * b).sum();
                left += cell.weight * product * y[d];
                right += cell.weight * y[d];
            }
            assert!((left - right).abs() < 1e-4, "{left} {right}");
        }
    }
}
