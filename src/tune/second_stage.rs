//! Trains the second stage: gradient-boosted trees (forust) on the candidates of held-out cases,
//! whose scores come from models that never saw the ground truth. Kept only where it beats the
//! plain blend on unseen cases.

use forust_ml::sampler::SampleMethod;
use forust_ml::{GradientBooster, Matrix};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use serde::Deserialize;

use crate::domain::topk::{Scored, keep_top};
use crate::evaluate::{Truth, metrics};
use crate::model::SecondStage;
use crate::model::second_stage::{FEATURES, Features, Trees};

/// Length of the lists that it is judged by.
const K: usize = 10;
/// Candidates outside of the ground truth, drawn for every case.
const NEGATIVES: usize = 40;
const TREES: usize = 100;
const DEPTH: usize = 5;
const LEARNING_RATE: f32 = 0.08;
const LEAF_WEIGHT: f32 = 20.0;
/// Share of the rows, and of the features, that each tree sees.
const SAMPLE_ROWS: f32 = 0.6;
const SAMPLE_FEATURES: f64 = 0.5;

/// A case's candidates, best blended first, and its ground truth.
#[derive(Debug, Clone)]
pub struct StageCase {
    /// The candidates with their features.
    pub candidates: Vec<(u32, Features)>,
    /// The ground truth.
    pub truth: Truth,
}

impl StageCase {
    fn ndcg(&self, trees: &SecondStage) -> f64 {
        let (items, rows): (Vec<u32>, Vec<Features>) = self.candidates.iter().copied().unzip();
        let scored = items.into_iter().zip(trees.scores(&rows));
        let mut list: Vec<Scored> = scored.map(|(idx, score)| Scored { idx, score }).collect();
        keep_top(&mut list, K);
        let items: Vec<u32> = list.iter().map(|s| s.idx).collect();
        metrics::score(&items, &self.truth, K).ndcg
    }
}

/// Number of folds of the cases, to measure trees on unseen ones.
const FOLDS: usize = 4;

/// Trains trees on `cases`; returns them with the NDCG at 10 of each case by trees that were not
/// trained on it. None where there is nothing to learn from.
pub fn fit(cases: &[StageCase], seed: u64) -> Option<(SecondStage, Vec<f64>)> {
    // One model per fold, and the last on all: each on a thread of its own, which wastes less than
    // several threads for one.
    let grown: Option<Vec<SecondStage>> = (0..=FOLDS)
        .into_par_iter()
        .map(|left_out| {
            let seen = cases.iter().enumerate().filter(|(at, _)| at % FOLDS != left_out);
            trees(&seen.map(|(_, case)| case).collect::<Vec<_>>(), seed)
        })
        .collect();

    let mut grown = grown?;
    let stage = grown.pop()?;
    let scores = cases.par_iter().enumerate().map(|(at, case)| case.ndcg(&grown[at % FOLDS]));
    Some((stage, scores.collect()))
}

fn trees(cases: &[&StageCase], seed: u64) -> Option<SecondStage> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut rows, mut labels): (Vec<&Features>, Vec<f64>) = (Vec::new(), Vec::new());
    for case in cases {
        let share = NEGATIVES as f64 / case.candidates.len().max(1) as f64;
        for (item, row) in &case.candidates {
            let wanted = case.truth.holds(*item);
            if wanted || rng.random::<f64>() < share {
                rows.push(row);
                labels.push(f64::from(u8::from(wanted)));
            }
        }
    }

    if !labels.contains(&1.0) || !labels.contains(&0.0) {
        return None;
    }

    let columns: Vec<f64> =
        (0..FEATURES).flat_map(|f| rows.iter().map(move |row| f64::from(row[f]))).collect();
    let mut booster = GradientBooster::default()
        .set_iterations(TREES)
        .set_learning_rate(LEARNING_RATE)
        .set_max_depth(DEPTH)
        .set_max_leaves(1 << DEPTH)
        .set_min_leaf_weight(LEAF_WEIGHT)
        .set_subsample(SAMPLE_ROWS)
        .set_sample_method(SampleMethod::Random)
        .set_colsample_bytree(SAMPLE_FEATURES)
        .set_seed(seed)
        .set_parallel(false);

    let data = Matrix::new(&columns, rows.len(), FEATURES);
    booster.fit_unweighted(&data, &labels, None).ok()?;
    flatten(&booster.json_dump().ok()?)
}

#[derive(Deserialize)]
struct Dump {
    trees: Vec<DumpTree>,
}

#[derive(Deserialize)]
struct DumpTree {
    nodes: Vec<DumpNode>,
}

#[derive(Deserialize)]
struct DumpNode {
    weight_value: f32,
    split_value: f64,
    split_feature: usize,
    left_child: usize,
    right_child: usize,
    is_leaf: bool,
}

/// The booster's own description of its trees, as flat arrays.
fn flatten(json: &str) -> Option<SecondStage> {
    let dump: Dump = serde_json::from_str(json).ok()?;
    let mut trees = Trees::default();
    for tree in dump.trees {
        trees.push((0..).zip(tree.nodes).map(|(at, node)| {
            if node.is_leaf {
                (0, node.weight_value, at, at)
            } else {
                let left = node.left_child as u32;
                let right = node.right_child as u32;
                (node.split_feature as u32, node.split_value as f32, left, right)
            }
        }));
    }
    trees.is_consistent(FEATURES).then(|| SecondStage::new(trees))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tune::compare::mean;

    #[test]
    fn learns_what_the_blend_does_not_know() {
        let mut rng = StdRng::seed_from_u64(5);
        let cases: Vec<StageCase> = (0..300)
            .map(|_| {
                let wanted = rng.random_range(0..50u32);
                let candidates = (0..50)
                    .map(|item| {
                        let mut row = [0.0; FEATURES];
                        row[3] = rng.random::<f32>() + if item == wanted { 1.0 } else { 0.0 };
                        (item, row)
                    })
                    .collect();
                StageCase { candidates, truth: Truth::new(vec![wanted], 0) }
            })
            .collect();

        let scores = fit(&cases, 1).map(|(_, scores)| mean(&scores)).unwrap_or_default();
        assert!(scores > 0.95, "{scores}");
    }

    #[test]
    fn nothing_wanted_teaches_nothing() {
        let case = StageCase {
            candidates: (0..30).map(|item| (item, [0.0; FEATURES])).collect(),
            truth: Truth::new(vec![99], 0),
        };
        assert!(fit(&vec![case; 50], 1).is_none());
    }
}
