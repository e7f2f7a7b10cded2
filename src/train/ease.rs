//! EASE: a linear autoencoder in closed form (Steck, arXiv 1905.03375) over the
//! most-bought items.
//!
//! P = (XᵀX + λI)^-1 by Cholesky, in f32; B_ij = −P_ij / P_jj, diagonal 0; of
//! each row the largest entries by magnitude are kept. Time grows with the cube
//! of the number of items, memory with its square.

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};
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

    let mut gram = gram(matrix, &items, &place);
    (0..items.len()).for_each(|i| gram[(i, i)] += settings.lambda);
    control.check()?;
    let factor = gram.llt(Side::Lower).map_err(|e| {
        TrainError::Factorisation(format!("EASE with λ {}: {e:?}", settings.lambda))
    })?;
    drop(gram);
    let inverse = factor.inverse();
    drop(factor);
    control.check()?;

    let rows: Vec<Vec<(u32, f32)>> = (0..matrix.by_item.rows())
        .into_par_iter()
        .map(|item| match place[item] {
            usize::MAX => Vec::new(),
            i => row(&inverse, i, &items, settings.neighbours),
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

/// XᵀX over the chosen items, written in place: a second copy would double the
/// largest thing that a training holds.
fn gram(matrix: &Interactions, items: &[u32], place: &[usize]) -> Mat<f32> {
    let mut gram = Mat::zeros(items.len(), items.len());
    for (at, &item) in items.iter().enumerate() {
        let column = gram.col_as_slice_mut(at);
        for (user, x) in matrix.by_item.pairs(item as usize) {
            for (other, y) in matrix.by_user.pairs(user as usize) {
                if let Some(sum) = column.get_mut(place[other as usize]) {
                    *sum += x * y;
                }
            }
        }
    }
    gram
}

fn row(inverse: &Mat<f32>, i: usize, items: &[u32], keep: usize) -> Vec<(u32, f32)> {
    let weights: Vec<f32> = (0..items.len()).map(|j| -inverse[(i, j)] / inverse[(j, j)]).collect();
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
        assert_eq!(weights.row(2).0.len(), 0, "an item that nobody has");
    }
}
