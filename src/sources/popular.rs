//! Popularity with a half-life, the same for every user.

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::query::Query;
use super::ranked::ranked;
use super::scratch::Scratch;
use super::search_space::{Hyperparameter, NEVER, parameter};
use crate::model::{Parts, Snapshot};
use crate::train::{TrainError, popularity};

pub(super) struct Popular;

impl CandidateSource for Popular {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        parts.popularity = Arc::new(popularity::train(job.data, &job.settings.popular));
        Ok(())
    }

    fn propose(&self, snapshot: &Snapshot, _: &Query<'_>, k: usize, scratch: &mut Scratch) {
        ranked(&snapshot.parts.popularity.trending, k, scratch);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        vec![parameter!(
            true,
            popular.half_life_days,
            f64,
            [2.0, 7.0, 15.0, 30.0, 60.0, 120.0, NEVER]
        )]
    }

    fn is_always_trained(&self) -> bool {
        true
    }
}
