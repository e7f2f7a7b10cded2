//! Co-occurrence: item CF, similar items and baskets are one sparse product, C = Xᵀ diag(r) X,
//! with different weights before and after.
//!
//! Gustavson's algorithm, row by row: for each item, the rows of all its users are added into a
//! dense accumulator, one per thread, of which the best entries are kept. Cost: Σ over users of
//! (items of the user)².

use rayon::prelude::*;

use crate::domain::progress::{Cancelled, Control};
use crate::domain::topk::{Scored, Threshold, keep_top};
use crate::matrix::{Csr, Interactions};
use crate::model::settings::ItemCfSettings;

/// Shrinkage of the cosine: with few common users, similarity is chance. In units of user weights:
/// a user of a typical shop, with 50 to 100 items, weighs about 0.2, so that this equals 20 of
/// them.
const SHRINKAGE: f32 = 4.0;
/// Neighbours kept of an item for "similar items" and "bought together".
const RELATED: usize = 200;

/// Item CF: W = D_i^-a Xᵀ D_u^-b X D_i^-c, diagonal 0, the best kept, rows scaled if the settings
/// say so.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn item_cf(
    matrix: &Interactions,
    settings: &ItemCfSettings,
    control: &Control<'_>,
) -> Result<Csr, Cancelled> {
    let items = weighted_degrees(&matrix.by_item);
    let users: Vec<f32> = weighted_degrees(&matrix.by_user)
        .iter()
        .map(|&d| power(d, -settings.user_exponent))
        .collect();

    // The best sources of each target are rows of the transpose, and the product is symmetric.
    let (own, other) = if settings.per_target {
        (settings.target_exponent, settings.source_exponent)
    } else {
        (settings.source_exponent, settings.target_exponent)
    };
    let own: Vec<f32> = items.iter().map(|&d| power(d, -own)).collect();
    let other: Vec<f32> = items.iter().map(|&d| power(d, -other)).collect();
    let (own, other) = (&own, &other);
    let score = |i: usize| move |j: usize, c: f32| own[i] * c * other[j];
    let kept =
        product(&matrix.by_user, &matrix.by_item, &users, score, settings.neighbours, control)?;

    let mut table = if settings.per_target { kept.transpose() } else { kept };
    if settings.scaled {
        table.scale_rows();
    }
    Ok(table)
}

/// Similar items: c_ij / (√(n_i n_j) + s) on ones, each user weighing 1 / ln(e + items bought), so
/// that a wholesaler who buys everything has little weight.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn similar(matrix: &Interactions, control: &Control<'_>) -> Result<Csr, Cancelled> {
    let (by_user, by_item) = matrix.binary();
    shrunk_cosine(&by_user, &by_item, control)
}

/// Items bought together: the same measure on baskets.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn together(baskets: &Csr, control: &Control<'_>) -> Result<Csr, Cancelled> {
    shrunk_cosine(baskets, &baskets.transpose(), control)
}

fn shrunk_cosine(rows: &Csr, by_item: &Csr, control: &Control<'_>) -> Result<Csr, Cancelled> {
    let says: Vec<f32> = (0..rows.rows())
        .map(|row| 1.0 / (std::f32::consts::E + rows.degree(row) as f32).ln())
        .collect();
    let n: Vec<f32> = (0..by_item.rows())
        .map(|item| by_item.row(item).0.iter().map(|&row| says[row as usize]).sum())
        .collect();
    let n = &n;
    let score = |i: usize| move |j: usize, c: f32| c / ((n[i] * n[j]).sqrt() + SHRINKAGE);
    product(rows, by_item, &says, score, RELATED, control)
}

/// The kernel: C_ij = Σ over rows r with i and j of x_ri · weight_r · x_rj,
/// turned into a score by `score(i)(j, C_ij)`; per item i the best `keep`
/// items j, best first.
pub(super) fn product<S: Fn(usize, f32) -> f32>(
    rows: &Csr,
    by_item: &Csr,
    row_weight: &[f32],
    score: impl Fn(usize) -> S + Sync,
    keep: usize,
    control: &Control<'_>,
) -> Result<Csr, Cancelled> {
    let items = by_item.rows();
    let table: Vec<Vec<(u32, f32)>> = (0..items)
        .into_par_iter()
        .map_init(
            || (vec![0.0f32; items], Vec::new(), Vec::new()),
            |(sums, touched, best), i| {
                control.check()?;
                for (row, x) in by_item.pairs(i) {
                    let weight = x * row_weight[row as usize];
                    for (j, y) in rows.pairs(row as usize) {
                        let sum = &mut sums[j as usize];
                        if *sum == 0.0 {
                            touched.push(j);
                        }
                        *sum += weight * y;
                    }
                }

                best.clear();
                let score = score(i);
                let mut threshold = Threshold::new(keep);
                for j in touched.drain(..) {
                    let c = std::mem::take(&mut sums[j as usize]);
                    if j as usize != i && c > 0.0 {
                        let score = score(j as usize, c);
                        threshold.push(best, Scored { idx: j, score });
                    }
                }

                keep_top(best, keep);
                Ok(best.iter().map(|s| (s.idx, s.score)).collect())
            },
        )
        .collect::<Result<_, Cancelled>>()?;
    Ok(Csr::from_rows(items, table))
}

pub(super) fn weighted_degrees(matrix: &Csr) -> Vec<f32> {
    (0..matrix.rows()).map(|row| matrix.row(row).1.iter().sum()).collect()
}

pub(super) fn power(degree: f32, exponent: f32) -> f32 {
    if degree > 0.0 { degree.powf(exponent) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Three users: {0, 1}, {0, 1, 2}, {2}.
    fn matrix() -> Interactions {
        let rows =
            vec![vec![(0, 1.0), (1, 1.0)], vec![(0, 1.0), (1, 1.0), (2, 1.0)], vec![(2, 1.0)]];
        let by_user = Csr::from_rows(3, rows);
        Interactions { by_item: by_user.transpose(), last_seconds: vec![0; 6], by_user }
    }

    fn built(settings: ItemCfSettings) -> Csr {
        let cancel = AtomicBool::new(false);
        item_cf(&matrix(), &settings, &Control::new(&|_| {}, &cancel)).unwrap()
    }

    #[test]
    fn the_formula_holds_entry_by_entry() {
        let settings = ItemCfSettings {
            source_exponent: 0.5,
            user_exponent: 1.0,
            target_exponent: 0.25,
            neighbours: 10,
            per_target: false,
            ..Default::default()
        };

        let w = built(settings);
        // C_01 = 1/2 + 1/3, C_02 = 1/3; all three items have degree 2.
        let degrees = 2f32.powf(-0.75);
        assert_eq!(w.row(0).0, [1, 2]);
        assert!((w.row(0).1[0] - degrees * 5.0 / 6.0).abs() < 1e-6);
        assert!((w.row(0).1[1] - degrees / 3.0).abs() < 1e-6);

        // Uncut, keeping by target changes nothing but the order within a row.
        let by_target = built(ItemCfSettings { per_target: true, ..settings });
        for row in 0..3 {
            for (j, v) in w.pairs(row) {
                assert!(by_target.pairs(row).any(|(k, t)| k == j && (t - v).abs() < 1e-6));
            }
        }
    }

    #[test]
    fn cutting_by_target_keeps_each_targets_best_sources() {
        let settings = ItemCfSettings { neighbours: 1, per_target: true, ..Default::default() };
        let w = built(settings);
        // Item 2's best source is 0 (a tie with 1, won by the lower id).
        assert_eq!(w.row(0).0, [1, 2]);
        assert_eq!(w.row(1).0, [0]);
        assert_eq!(w.row(2).0, [0u32; 0]);
    }

    #[test]
    fn scaled_rows_sum_to_one() {
        let w = built(ItemCfSettings { scaled: true, per_target: false, ..Default::default() });
        for row in 0..3 {
            assert!((w.row(row).1.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn cancelling_ends_it() {
        let cancel = AtomicBool::new(true);
        assert!(similar(&matrix(), &Control::new(&|_| {}, &cancel)).is_err());
    }
}
