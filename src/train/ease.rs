//! EASE: a linear autoencoder in closed form (Steck, arXiv 1905.03375) over the
//! most-bought items.
//!
//! P = (XᵀX + λI)^-1 by Cholesky, in f32; B_ij = −P_ij / P_jj, diagonal 0; of
//! each row the largest entries by magnitude are kept. Time grows with the cube
//! of the number of items, memory with its square.

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, MatRef, Side};
use rayon::prelude::*;

use super::TrainError;
use crate::domain::progress::Control;
use crate::domain::topk::{Scored, keep_top};
use crate::matrix::{Csr, Interactions};
use crate::model::settings::EaseSettings;

/// Trains the item weights: items × items, largest first by magnitude; rows
/// of items that are not among the most-bought are empty.
///
/// # Errors
/// [`TrainError::Cancelled`], or [`TrainError::Factorisation`].
pub fn train(
    matrix: &Interactions,
    settings: &EaseSettings,
    control: &Control<'_>,
) -> Result<Csr, TrainError> {
    let items = most_bought(matrix, settings.items);
    let mut place = vec![usize::MAX; matrix.by_item.rows()];
    items.iter().enumerate().for_each(|(at, &item)| place[item as usize] = at);

    let gram = gram(matrix, &items, &place, settings.lambda);
    control.check()?;
    let shaped = MatRef::from_column_major_slice(&gram, items.len(), items.len());
    let factor = shaped.llt(Side::Lower).map_err(|e| {
        TrainError::Factorisation(format!("EASE with λ {}: {e:?}", settings.lambda))
    })?;
    drop(gram);
    let inverse = factor.inverse();
    let diagonal: Vec<f32> = (0..items.len()).map(|i| inverse[(i, i)]).collect();
    drop(factor);
    control.check()?;

    let rows: Vec<Vec<(u32, f32)>> = (0..matrix.by_item.rows())
        .into_par_iter()
        .map(|item| match place[item] {
            usize::MAX => Vec::new(),
            i => row(&inverse, &diagonal, i, &items, settings.neighbours),
        })
        .collect();
    Ok(Csr::from_rows(matrix.by_item.rows(), rows))
}

fn most_bought(matrix: &Interactions, keep: usize) -> Vec<u32> {
    let by_degree = (0..matrix.by_item.rows())
        .map(|item| Scored { idx: item as u32, score: matrix.by_item.degree(item) as f32 });
    let mut items: Vec<Scored> = by_degree.filter(|s| s.score > 0.0).collect();
    keep_top(&mut items, keep);
    let mut items: Vec<u32> = items.into_iter().map(|s| s.idx).collect();
    items.sort_unstable();
    items
}

/// The lower half of XᵀX + λ over the chosen items, column by column, in place: a copy would double
/// the largest allocation of a training.
fn gram(matrix: &Interactions, items: &[u32], place: &[usize], lambda: f32) -> Vec<f32> {
    let mut gram = vec![0.0; items.len() * items.len()];
    let columns = gram.par_chunks_mut(items.len().max(1)).zip(items).enumerate();
    columns.for_each(|(at, (column, &item))| {
        for (user, x) in matrix.by_item.pairs(item as usize) {
            for (other, y) in matrix.by_user.pairs(user as usize) {
                let other = place[other as usize];
                if (at..column.len()).contains(&other) {
                    column[other] += x * y;
                }
            }
        }
        column[at] += lambda;
    });
    gram
}

/// The largest weights of an item's row, read from its column: the inverse is symmetric, and
/// columns are contiguous.
fn row(
    inverse: &Mat<f32>,
    diagonal: &[f32],
    i: usize,
    items: &[u32],
    keep: usize,
) -> Vec<(u32, f32)> {
    let column = inverse.col_as_slice(i).iter().zip(diagonal);
    let weights: Vec<f32> = column.map(|(b, own)| -b / own).collect();
    let others = (0..items.len()).filter(|&j| j != i && weights[j] != 0.0);
    let mut largest: Vec<Scored> =
        others.map(|j| Scored { idx: j as u32, score: weights[j].abs() }).collect();
    keep_top(&mut largest, keep);
    largest.iter().map(|s| (items[s.idx as usize], weights[s.idx as usize])).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn two_items_by_hand() {
        // Users {0, 1}, {0, 1}, {0}: XᵀX + 1 = [[4, 2], [2, 3]], its inverse [[3, −2], [−2, 4]] / 8.
        let rows = vec![vec![(0, 1.0), (1, 1.0)], vec![(0, 1.0), (1, 1.0)], vec![(0, 1.0)]];
        let by_user = Csr::from_rows(3, rows);
        let matrix =
            Interactions { by_item: by_user.transpose(), last_seconds: vec![0; 5], by_user };
        let settings = EaseSettings { lambda: 1.0, ..Default::default() };
        let cancel = AtomicBool::new(false);
        let weights = train(&matrix, &settings, &Control::new(&|_| {}, &cancel)).unwrap();
        let entry = |i: usize| weights.pairs(i).next().unwrap();
        assert_eq!(entry(0).0, 1);
        assert!((entry(0).1 - 2.0 / 4.0).abs() < 1e-6, "{:?}", entry(0));
        assert!((entry(1).1 - 2.0 / 3.0).abs() < 1e-6, "{:?}", entry(1));
        assert_eq!(weights.row(2).0.len(), 0, "an item without users");
    }
}
