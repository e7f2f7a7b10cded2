//! The gradient of a batch. Its parts are computed side by side and added in one order, so that a seed always
//! learns the same.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView1, Axis};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use super::examples::Examples;
use super::learned::{DIMENSIONS, Learned, STEPS_BACK, TEMPERATURE};
use crate::domain::ItemIdx;
use crate::domain::kernels::{add, dot, exp_sum};

/// Examples of a part.
const PART: usize = 32;
/// The score of what is no choice: its probability is as good as 0.
const NONE: f32 = -1e4;
/// Share of the items of a history that a visit leaves out.
const DROPOUT: f32 = 0.2;

/// Examples to learn from together.
pub(super) struct Batch<'a> {
    pub(super) examples: &'a Examples,
    pub(super) of_batch: &'a [u32],
    /// The items that stand for all others.
    pub(super) negatives: &'a [ItemIdx],
    /// Added to their scores: each is drawn more or less often than others, and the score of the same direction
    /// is taken off.
    pub(super) shifts: &'a [f32],
}

/// Where the loss grows.
#[derive(Default)]
pub(super) struct Gradient {
    /// By vectors of items; an item may come several times.
    pub(super) rows: Vec<(ItemIdx, Row)>,
    /// By the logarithms of weights.
    pub(super) fading: [f32; STEPS_BACK],
}

pub(super) type Row = [f32; DIMENSIONS];

/// An item of a history, and its weight in the user's vector.
struct Weighted {
    item: ItemIdx,
    back: usize,
    weight: f32,
}

impl Batch<'_> {
    /// The gradient of the mean loss; `seed` decides what is left out.
    pub(super) fn gradient(&self, learned: &Learned, seed: u64) -> Gradient {
        let negatives = self.negatives.iter().flat_map(|&item| unit(learned.vector(item)).0);
        let shape = (self.negatives.len(), DIMENSIONS);
        let negatives = Array2::from_shape_vec(shape, negatives.collect());
        let negatives = negatives.unwrap_or_else(|e| unreachable!("rows of one length: {e}"));

        let parts: Vec<(Gradient, Array2<f32>)> = self
            .of_batch
            .par_chunks(PART)
            .enumerate()
            .map(|(at, of_part)| self.of_part(of_part, &negatives, learned, seed ^ at as u64))
            .collect();

        let mut all = Gradient::default();
        let mut of_negatives = Array2::zeros(shape);
        for (part, negatives) in parts {
            all.rows.extend(part.rows);
            all.fading.iter_mut().zip(part.fading).for_each(|(all, part)| *all += part);
            of_negatives += &negatives;
        }
        for (&item, row) in self.negatives.iter().zip(of_negatives.axis_iter(Axis(0))) {
            all.rows.push((item, through_unit(learned.vector(item), row)));
        }
        all
    }

    /// The gradient of some examples, and that by the negatives' directions.
    fn of_part(
        &self,
        of_part: &[u32],
        negatives: &Array2<f32>,
        learned: &Learned,
        seed: u64,
    ) -> (Gradient, Array2<f32>) {
        let mut rng = StdRng::seed_from_u64(seed);
        let histories: Vec<Vec<Weighted>> =
            of_part.iter().map(|&of| self.weighted(of, learned, &mut rng)).collect();
        let mut users = Array2::zeros((of_part.len(), DIMENSIONS));
        let sums: Vec<Row> = histories.iter().map(|history| sum(history, learned)).collect();
        for (mut user, sum) in users.axis_iter_mut(Axis(0)).zip(&sums) {
            user.assign(&ArrayView1::from(&unit(sum).0));
        }

        let mut scores = Array2::zeros((of_part.len(), self.negatives.len()));
        general_mat_mul(1.0 / TEMPERATURE, &users, &negatives.t(), 0.0, &mut scores);

        let mut gradient = Gradient::default();
        let mut by_user = Array2::zeros((of_part.len(), DIMENSIONS));
        for (at, &of) in of_part.iter().enumerate() {
            let next = self.examples.next(of);
            let (wanted, _) = unit(learned.vector(next));
            let user = users.row(at);
            let score = user.dot(&ArrayView1::from(&wanted)) / TEMPERATURE;
            let pull =
                self.softmax(next, score, scores.row_mut(at).into_slice().unwrap_or(&mut []));
            gradient.rows.push((next, through_unit(learned.vector(next), (&user * pull).view())));
            by_user.row_mut(at).scaled_add(pull, &ArrayView1::from(&wanted));
        }

        general_mat_mul(1.0, &scores, negatives, 1.0, &mut by_user);
        let mut by_negatives = Array2::zeros(negatives.raw_dim());
        general_mat_mul(1.0, &scores.t(), &users, 0.0, &mut by_negatives);

        for ((history, sum), by_user) in histories.iter().zip(&sums).zip(by_user.axis_iter(Axis(0)))
        {
            gradient.add_history(history, learned, &through_unit(sum, by_user));
        }
        (gradient, by_negatives)
    }

    /// The items before an example with their weights; some are left out by chance, never all.
    fn weighted(&self, of: u32, learned: &Learned, rng: &mut StdRng) -> Vec<Weighted> {
        let weight =
            |(item, back): (ItemIdx, usize)| Weighted { item, back, weight: learned.fading[back] };
        let mut all: Vec<Weighted> = self.examples.before(of).map(weight).collect();
        let kept = rng.random_range(0..all.len().max(1));
        let mut at = 0;
        all.retain(|_| {
            at += 1;
            at - 1 == kept || rng.random::<f32>() >= DROPOUT
        });
        let most = all.iter().map(|of| of.weight).fold(f32::NEG_INFINITY, f32::max);
        all.iter_mut().for_each(|of| of.weight = (of.weight - most).exp());
        let sum: f32 = all.iter().map(|of| of.weight).sum();
        all.iter_mut().for_each(|of| of.weight /= sum);
        all
    }

    /// Turns the scores of negatives into the rate of the loss by their scores; returns that by the next item's.
    fn softmax(&self, next: ItemIdx, score: f32, scores: &mut [f32]) -> f32 {
        for (score, negative) in scores.iter_mut().zip(self.negatives) {
            if *negative == next {
                *score = NONE;
            }
        }
        let wanted = (score - 1.0 / TEMPERATURE).exp();
        let all = wanted + exp_sum(scores, self.shifts);
        let each = 1.0 / (self.of_batch.len() as f32 * TEMPERATURE);
        scores.iter_mut().for_each(|score| *score *= each / all);
        (wanted / all - 1.0) * each
    }
}

impl Gradient {
    /// Adds what the gradient by a user's vector is by the items of their history.
    fn add_history(&mut self, history: &[Weighted], learned: &Learned, by_user: &Row) {
        let gains = history.iter().map(|of| dot(learned.vector(of.item), by_user));
        let gains: Vec<f32> = gains.collect();
        let mean: f32 = history.iter().zip(&gains).map(|(of, gain)| of.weight * gain).sum();
        for (of, gain) in history.iter().zip(gains) {
            self.rows.push((of.item, by_user.map(|x| of.weight * x)));
            self.fading[of.back] += of.weight * (gain - mean);
        }
    }
}

/// The weighted sum of the vectors of a history.
fn sum(history: &[Weighted], learned: &Learned) -> Row {
    let mut sum = [0.0; DIMENSIONS];
    for of in history {
        add(&mut sum, of.weight, learned.vector(of.item));
    }
    sum
}

/// A vector of length 1 in the same direction, and the length.
fn unit(vector: &[f32]) -> (Row, f32) {
    let length = dot(vector, vector).sqrt().max(f32::MIN_POSITIVE);
    (std::array::from_fn(|at| vector[at] / length), length)
}

/// The gradient by a vector, from that by its direction.
fn through_unit(vector: &[f32], by_unit: ArrayView1<'_, f32>) -> Row {
    let (unit, length) = unit(vector);
    let along = by_unit.dot(&ArrayView1::from(&unit));
    std::array::from_fn(|at| (by_unit[at] - unit[at] * along) / length)
}
