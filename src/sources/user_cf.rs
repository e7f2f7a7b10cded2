//! User CF: score_j = Σ over the most similar users v of sim^power · D_v^-½ · x_vj.

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::memory::{CELL, DataSize, MemoryNeed};
use super::neighbours::{propose_of_neighbours, similar_users};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{COUNTS, HALF_LIVES, Hyperparameter, STEP_FADING, costly, parameter};
use crate::model::{Parts, Settings, Snapshot};
use crate::train::{TrainError, user_cf};

pub(super) struct UserCf;

impl CandidateSource for UserCf {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        let settings = &job.settings.user_cf;
        let matrix = job.data.matrix(settings.weighting.training());
        parts.user_cf = Arc::new(user_cf::train(&matrix, settings));
        Ok(())
    }

    fn memory(&self, size: &DataSize, _settings: &Settings) -> MemoryNeed {
        // Rows of users and of items are kept; a transpose of times, and rows before they are joined.
        MemoryNeed::new(2 * size.events * CELL, 3 * size.events * CELL)
    }

    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        let settings = &query.settings(snapshot).user_cf;
        query.profile(settings.weighting.profile(), scratch);
        similar_users(snapshot, query, settings.neighbours, scratch);
        scratch.neighbours.extend(scratch.candidates.iter().map(|neighbour| neighbour.idx));
        for neighbour in &mut scratch.candidates {
            neighbour.score = neighbour.score.powf(settings.power);
        }
        propose_of_neighbours(&snapshot.parts.user_cf.by_user, k, scratch);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        vec![
            parameter!(true, user_cf.weighting.half_life_days, f64, HALF_LIVES),
            parameter!(false, user_cf.weighting.profile_half_life_days, f64, HALF_LIVES),
            parameter!(false, user_cf.weighting.step_fading, f32, STEP_FADING),
            parameter!(true, user_cf.weighting.counts, f32, COUNTS),
            parameter!(false, user_cf.power, f32, [0.5, 0.75, 1.0, 1.5, 2.0, 3.0]),
            costly(parameter!(
                false,
                user_cf.neighbours,
                usize,
                [50.0, 100.0, 200.0, 400.0, 800.0]
            )),
        ]
    }

    fn is_always_trained(&self) -> bool {
        true
    }

    fn tuning_order(&self) -> u8 {
        0
    }
}
