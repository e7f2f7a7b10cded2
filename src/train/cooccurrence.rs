//! Co-occurrence: item CF, similar items and baskets are one sparse product, C = Xᵀ diag(r) X,
//! with different weights before and after.
//!
//! Gustavson's algorithm, row by row: for each item, the rows of all its users are added into a
//! dense accumulator, one per thread, of which the best entries are kept. Cost: Σ over users of
//! (items of the user)².
//!
//! The product is a sum over users, so that users can be taken out of it. Only the rows and the columns of
//! their items change; C is symmetric, so that these rows say what the columns are. Every other cell
//! stays as it is, and the scores of those columns can only rise, since their items have less weight: no
//! cell that was cut comes back.

use rayon::prelude::*;

use crate::domain::ItemIdx;
use crate::domain::progress::{Cancelled, Control};
use crate::domain::topk::{Scored, Threshold, keep_top, select_top};
use crate::matrix::{Csr, Interactions};
use crate::model::settings::ItemCfSettings;

/// Shrinkage of the cosine: with few common users, similarity is chance. In units of user weights:
/// a user of a typical shop, with 50 to 100 items, weighs about 0.2, so that this equals 20 of
/// them.
const SHRINKAGE: f32 = 4.0;
/// Neighbours kept of an item for "similar items" and "bought together".
const RELATED: usize = 200;
/// Share of the items, one in this many, up to which single rows and columns are made anew.
const MAX_CHANGED: usize = 4;
/// Whole rows held at a time while users are taken out of a table.
const ROWS_AT_ONCE: usize = 64;

/// A table made from the same rows and some more, which the matrix no longer has.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// The table.
    pub table: &'a Csr,
    /// All items of the rows that are gone, each once.
    pub items: &'a [ItemIdx],
}

/// Item CF: W = D_i^-a Xᵀ D_u^-b X D_i^-c, diagonal 0, the best kept, rows scaled if the settings
/// say so. `before` spares most of the work, unless rows are scaled: the same table is made of it.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn item_cf(
    matrix: &Interactions,
    settings: &ItemCfSettings,
    before: Option<Before<'_>>,
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
    // A scaled row does not say what it was; with a negative exponent scores fall.
    let before = before.filter(|_| !settings.scaled && other >= 0.0);
    let kept_before = before.filter(|_| settings.per_target).map(|b| b.table.transpose());
    let before = before.map(|b| Before { table: kept_before.as_ref().unwrap_or(b.table), ..b });

    let own: Vec<f32> = items.iter().map(|&d| power(d, -own)).collect();
    let other: Vec<f32> = items.iter().map(|&d| power(d, -other)).collect();
    let (own, other) = (&own, &other);
    let score = |i: usize| move |j: usize, c: f32| own[i] * c * other[j];
    let product = Product { rows: &matrix.by_user, by_item: &matrix.by_item, row_weight: &users };
    let kept = product.best_after(before, score, settings.neighbours, control)?;

    let mut table = if settings.per_target { kept.transpose() } else { kept };
    if settings.scaled {
        table.scale_rows();
    }
    Ok(table)
}

/// Similar items: c_ij / (√(n_i n_j) + s) on ones, each user weighing 1 / ln(e + items bought), so
/// that a wholesaler who buys everything has little weight. `before` spares most of the work.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn similar(
    matrix: &Interactions,
    before: Option<Before<'_>>,
    control: &Control<'_>,
) -> Result<Csr, Cancelled> {
    let (by_user, by_item) = matrix.binary();
    shrunk_cosine(&by_user, &by_item, before, control)
}

/// Items bought together: the same measure on baskets.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn together(
    baskets: &Csr,
    before: Option<Before<'_>>,
    control: &Control<'_>,
) -> Result<Csr, Cancelled> {
    shrunk_cosine(baskets, &baskets.transpose(), before, control)
}

fn shrunk_cosine(
    rows: &Csr,
    by_item: &Csr,
    before: Option<Before<'_>>,
    control: &Control<'_>,
) -> Result<Csr, Cancelled> {
    let says: Vec<f32> = (0..rows.rows())
        .map(|row| 1.0 / (std::f32::consts::E + rows.degree(row) as f32).ln())
        .collect();
    let n: Vec<f32> = (0..by_item.rows())
        .map(|item| by_item.row(item).0.iter().map(|&row| says[row as usize]).sum())
        .collect();
    let n = &n;
    let score = |i: usize| move |j: usize, c: f32| c / ((n[i] * n[j]).sqrt() + SHRINKAGE);
    let product = Product { rows, by_item, row_weight: &says };
    product.best_after(before, score, RELATED, control)
}

/// The product C_ij = Σ over rows r with i and j of x_ri · weight_r · x_rj. A cell becomes a score by
/// `score(i)(j, C_ij)`.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// Rows × items.
    pub(super) rows: &'a Csr,
    /// Its transpose.
    pub(super) by_item: &'a Csr,
    /// The weight of every row.
    pub(super) row_weight: &'a [f32],
}

/// Cells of a row or a column.
type Row = Vec<(u32, f32)>;

/// A dense row of the product, and which of its cells are not 0.
#[derive(Default)]
struct Sums {
    values: Vec<f32>,
    touched: Vec<u32>,
}

impl Product<'_> {
    /// Of every item i the best `keep` items j, best first.
    pub(super) fn best<S: Fn(usize, f32) -> f32>(
        self,
        score: impl Fn(usize) -> S + Sync,
        keep: usize,
        control: &Control<'_>,
    ) -> Result<Csr, Cancelled> {
        let items = self.by_item.rows();
        let table: Vec<Row> = (0..items)
            .into_par_iter()
            .map_init(Default::default, |(sums, best): &mut (Sums, Vec<Scored>), i| {
                control.check()?;
                let score = score(i);
                let mut threshold = Threshold::new(keep);
                best.clear();
                self.row(i, sums, |j, c| {
                    threshold.push(best, Scored { idx: j, score: score(j as usize, c) });
                });
                keep_top(best, keep);
                Ok(best.iter().map(|s| (s.idx, s.score)).collect())
            })
            .collect::<Result<_, Cancelled>>()?;
        Ok(Csr::from_rows(items, table))
    }

    /// The same, made from an earlier table where there is one of these items.
    fn best_after<S: Fn(usize, f32) -> f32>(
        self,
        before: Option<Before<'_>>,
        score: impl Fn(usize) -> S + Sync,
        keep: usize,
        control: &Control<'_>,
    ) -> Result<Csr, Cancelled> {
        let items = self.by_item.rows();
        let spares_work = |before: &Before<'_>| {
            before.table.rows() == items && before.items.len() <= items / MAX_CHANGED
        };
        match before.filter(spares_work) {
            Some(before) => self.best_without(before, score, keep, control),
            None => self.best(score, keep, control),
        }
    }

    fn best_without<S: Fn(usize, f32) -> f32>(
        self,
        before: Before<'_>,
        score: impl Fn(usize) -> S + Sync,
        keep: usize,
        control: &Control<'_>,
    ) -> Result<Csr, Cancelled> {
        let items = self.by_item.rows();
        let mut is_changed = vec![false; items];
        before.items.iter().for_each(|&item| is_changed[item as usize] = true);

        let kept = |(i, changed): (usize, &bool)| -> Vec<Scored> {
            let pairs = before.table.pairs(i).filter(|(j, _)| !changed && !is_changed[*j as usize]);
            pairs.map(|(idx, score)| Scored { idx, score }).collect()
        };
        let mut best: Vec<Vec<Scored>> = is_changed.par_iter().enumerate().map(kept).collect();

        // One dense row for each thread.
        let at_least = ROWS_AT_ONCE.div_ceil(rayon::current_num_threads());
        for chunk in before.items.chunks(ROWS_AT_ONCE) {
            let rows: Vec<(Vec<Scored>, Row)> = chunk
                .par_iter()
                .with_min_len(at_least)
                .map_init(Sums::default, |sums, &i| {
                    control.check()?;
                    let of_row = score(i as usize);
                    let mut row = Vec::new();
                    let mut column = Row::new();
                    self.row(i as usize, sums, |j, c| {
                        row.push(Scored { idx: j, score: of_row(j as usize, c) });
                        if !is_changed[j as usize] {
                            column.push((j, c));
                        }
                    });
                    keep_top(&mut row, keep);
                    Ok((row, column))
                })
                .collect::<Result<_, Cancelled>>()?;

            for (&i, (row, column)) in chunk.iter().zip(rows) {
                best[i as usize] = row;
                for (j, c) in column {
                    let of_item = &mut best[j as usize];
                    of_item.push(Scored { idx: i, score: score(j as usize)(i as usize, c) });
                    if of_item.len() > 2 * keep {
                        select_top(of_item, keep);
                    }
                }
            }
        }

        let table = best.into_par_iter().map(|mut row| {
            keep_top(&mut row, keep);
            row.into_iter().map(|s| (s.idx, s.score)).collect()
        });
        Ok(Csr::from_rows(items, table.collect()))
    }

    /// Passes the cells of row i that are above 0, but for the diagonal, to `visit`.
    fn row(&self, i: usize, sums: &mut Sums, mut visit: impl FnMut(u32, f32)) {
        sums.values.resize(self.by_item.rows(), 0.0);
        for (row, x) in self.by_item.pairs(i) {
            let weight = self.row_weight[row as usize];
            for (j, y) in self.rows.pairs(row as usize) {
                let sum = &mut sums.values[j as usize];
                if *sum == 0.0 {
                    sums.touched.push(j);
                }
                // In this order C_ij and C_ji are equal to the last bit.
                *sum += x * y * weight;
            }
        }

        for j in sums.touched.drain(..) {
            let c = std::mem::take(&mut sums.values[j as usize]);
            if j as usize != i && c > 0.0 {
                visit(j, c);
            }
        }
    }
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

    use proptest::prelude::*;

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
        item_cf(&matrix(), &settings, None, &Control::new(&|_| {}, &cancel)).unwrap()
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

    fn of_rows(rows: &[Vec<(u32, f32)>]) -> Interactions {
        // Wide enough that the rows of twelve items are made anew, and not the whole table.
        let by_user = Csr::from_rows(12 * MAX_CHANGED, rows.to_vec());
        let last_seconds = vec![0; by_user.entries()];
        Interactions { by_item: by_user.transpose(), last_seconds, by_user }
    }

    proptest! {
        #[test]
        fn users_taken_out_leave_the_table_of_the_others(
            rows in prop::collection::vec(prop::collection::btree_map(0u32..12, 0.01f32..1.0, 0..7), 1..30),
            gone in prop::collection::vec(any::<bool>(), 30),
            per_target in any::<bool>(),
            neighbours in 1usize..6,
        ) {
            let all: Vec<Vec<(u32, f32)>> =
                rows.into_iter().map(|row| row.into_iter().collect()).collect();
            let left: Vec<Vec<(u32, f32)>> = all
                .iter()
                .zip(&gone)
                .map(|(row, gone)| if *gone { Vec::new() } else { row.clone() })
                .collect();
            let of_gone = all.iter().zip(&gone).filter(|(_, gone)| **gone);
            let mut items: Vec<ItemIdx> =
                of_gone.flat_map(|(row, _)| row.iter().map(|cell| cell.0)).collect();
            items.sort_unstable();
            items.dedup();

            let all = of_rows(&all);
            let left = of_rows(&left);
            let cancel = AtomicBool::new(false);
            let control = Control::new(&|_| {}, &cancel);
            let before = |table| Some(Before { table, items: &items });
            let settings = ItemCfSettings { neighbours, per_target, ..Default::default() };

            let table = item_cf(&all, &settings, None, &control).unwrap();
            let updated = item_cf(&left, &settings, before(&table), &control).unwrap();
            prop_assert_eq!(updated, item_cf(&left, &settings, None, &control).unwrap());

            let table = similar(&all, None, &control).unwrap();
            let updated = similar(&left, before(&table), &control).unwrap();
            prop_assert_eq!(updated, similar(&left, None, &control).unwrap());
        }
    }

    #[test]
    fn cancelling_ends_it() {
        let cancel = AtomicBool::new(true);
        assert!(similar(&matrix(), None, &Control::new(&|_| {}, &cancel)).is_err());
    }
}
