//! Transitions: score_j = Σ over the newest baskets, or single items, of decay^(steps back) · Σ
//! over their items i of T_ij.

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::memory::{DataSize, MemoryNeed};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{Hyperparameter, parameter};
use crate::domain::history::is_one_step;
use crate::matrix::weight::kind_weight;
use crate::model::{Parts, Settings, Snapshot};
use crate::train::{TrainError, transition};

/// Steps further back than this have no influence.
const STEPS_BACK: usize = 10;

/// Bytes of an event while transitions are counted: a basket with one item, and its place.
const EVENT: u64 = 40;

pub(super) struct Transition;

impl CandidateSource for Transition {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        let table = transition::train(job.data.events(), &job.settings.transition);
        parts.transition = Arc::new(table);
        Ok(())
    }

    fn memory(&self, size: &DataSize, settings: &Settings) -> MemoryNeed {
        // Baskets of one item each, and where each item occurs.
        let rows = size.item_rows(settings.transition.neighbours);
        MemoryNeed::new(0, size.events * EVENT).then(rows)
    }

    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        let settings = &query.settings(snapshot).transition;
        let table = &snapshot.parts.transition;
        query.events(scratch);
        let Scratch { events, items, mask, candidates, .. } = scratch;
        items.reserve(table.width);
        let mut weight = 1.0;
        events.retain(|e| kind_weight(e.kind) > 0.0);

        let mut steps = events.chunk_by(|a, b| is_one_step(a, b, query.shelf.now_ms));

        for _ in 0..STEPS_BACK {
            let Some(basket) = steps.next_back() else { break };
            for event in basket {
                for (next, score) in table.pairs(event.item as usize) {
                    items.add(next, weight * score);
                }
            }
            weight *= settings.decay;
        }
        items.drain_top(k, |item| mask.allows(item), candidates);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        vec![
            parameter!(false, transition.decay, f32, [0.15, 0.3, 0.6, 0.8, 0.9]),
            parameter!(true, transition.source_popularity, f32, [0.0, 0.5, 1.0]),
            parameter!(true, transition.target_popularity, f32, [0.0, 0.15, 0.3, 0.5]),
            parameter!(true, transition.steps, usize, [1.0, 2.0, 5.0, 10.0]),
        ]
    }

    fn reads_order(&self) -> bool {
        true
    }
}
