//! Steps down a gradient by Adam, of the rows alone that it names; the rate falls to 0 in a line.

use rayon::prelude::*;

use super::batch::Gradient;
use super::learned::{DIMENSIONS, Learned, STEPS_BACK};
use crate::domain::kernels::add;

/// The rate at first, of vectors and of the weights of steps.
const RATE: f32 = 0.004;
const RATE_OF_FADING: f32 = 0.02;
/// How much of the means of gradients and of their squares is kept.
const KEEP: [f32; 2] = [0.9, 0.999];
/// Keeps a division from one by 0.
const EPSILON: f32 = 1e-8;
/// Rows that one thread changes at a time.
const BLOCK: usize = 1_024;

/// The means of past gradients.
pub(super) struct Adam {
    of_vectors: Moments,
    of_fading: Moments,
    /// The sum of the rows of a gradient by item; zeros between steps.
    sums: Vec<f32>,
    done: usize,
    steps: usize,
}

struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Moments {
    fn new(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len] }
    }
}

/// How far a step goes: the rate, and the corrections of means that began at 0.
#[derive(Clone, Copy)]
struct Pace {
    rate: f32,
    correction: [f32; 2],
}

impl Adam {
    /// For `len` numbers of vectors, and a number of steps.
    pub(super) fn new(len: usize, steps: usize) -> Self {
        let sums = vec![0.0; len];
        Self {
            of_vectors: Moments::new(len),
            of_fading: Moments::new(STEPS_BACK),
            sums,
            done: 0,
            steps,
        }
    }

    /// Takes a step.
    pub(super) fn step(&mut self, learned: &mut Learned, gradient: &Gradient) {
        let left = 1.0 - self.done as f32 / self.steps.max(1) as f32;
        self.done += 1;
        let correction = KEEP.map(|keep| 1.0 - keep.powi(self.done.min(100_000) as i32));
        let pace = Pace { rate: RATE * left, correction };

        let mut touched: Vec<u32> = Vec::with_capacity(gradient.rows.len());
        for (item, row) in &gradient.rows {
            let start = *item as usize * DIMENSIONS;
            add(&mut self.sums[start..start + DIMENSIONS], 1.0, row);
            touched.push(*item);
        }
        touched.sort_unstable();
        touched.dedup();

        let size = BLOCK * DIMENSIONS;
        let Moments { first, second } = &mut self.of_vectors;
        let means = first.par_chunks_mut(size).zip(second.par_chunks_mut(size));
        let blocks = learned.vectors.par_chunks_mut(size).zip(self.sums.par_chunks_mut(size));
        blocks.zip(means).enumerate().for_each(|(block, ((vectors, sums), (first, second)))| {
            let begin = (block * BLOCK) as u32;
            let from = touched.partition_point(|&item| item < begin);
            let to = touched.partition_point(|&item| item < begin + BLOCK as u32);
            for item in &touched[from..to] {
                let start = (item - begin) as usize * DIMENSIONS;
                let row = start..start + DIMENSIONS;
                let sums = &mut sums[row.clone()];
                pace.go(
                    &mut vectors[row.clone()],
                    sums,
                    (&mut first[row.clone()], &mut second[row]),
                );
                sums.fill(0.0);
            }
        });

        let Moments { first, second } = &mut self.of_fading;
        let pace = Pace { rate: RATE_OF_FADING * left, correction };
        pace.go(&mut learned.fading, &gradient.fading, (first, second));
    }
}

impl Pace {
    /// Changes `values` against `gradient`.
    fn go(self, values: &mut [f32], gradient: &[f32], (first, second): (&mut [f32], &mut [f32])) {
        let means = first.iter_mut().zip(second);
        for ((value, slope), (first, second)) in values.iter_mut().zip(gradient).zip(means) {
            *first = KEEP[0] * *first + (1.0 - KEEP[0]) * slope;
            *second = KEEP[1] * *second + (1.0 - KEEP[1]) * slope * slope;
            let mean = *first / self.correction[0];
            let spread = (*second / self.correction[1]).sqrt();
            *value -= self.rate * mean / (spread + EPSILON);
        }
    }
}
