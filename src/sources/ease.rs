//! EASE (Steck, WWW 2019): B_ij = −P_ij / P_jj with P = (XᵀX + λI)^-1, over the most-bought items.

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::linear::linear;
use super::memory::{CELL, DataSize, MemoryNeed};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{COUNTS, HALF_LIVES, Hyperparameter, STEP_FADING, parameter};
use crate::model::{Parts, Settings, Snapshot};
use crate::train::{TrainError, ease};

pub(super) struct Ease;

impl CandidateSource for Ease {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        let settings = &job.settings.ease;
        let matrix = job.data.matrix(settings.weighting.training());
        parts.ease = Arc::new(ease::train(&matrix, settings, job.control)?);
        Ok(())
    }

    fn memory(&self, size: &DataSize, settings: &Settings) -> MemoryNeed {
        // The Gram matrix, its factor and the inverse.
        let items = size.items.min(settings.ease.items as u64);
        let dense = 3 * items * items * size_of::<f32>() as u64;
        let kept = items * items.min(settings.ease.neighbours as u64) * CELL;
        MemoryNeed::new(kept, dense + kept)
    }

    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        let settings = query.settings(snapshot);
        query.profile(settings.ease.weighting.profile(), scratch);
        linear(&snapshot.parts.ease, k, scratch);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        vec![
            parameter!(true, ease.lambda, f32, [10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0]),
            parameter!(true, ease.weighting.half_life_days, f64, HALF_LIVES),
            parameter!(false, ease.weighting.profile_half_life_days, f64, HALF_LIVES),
            parameter!(false, ease.weighting.step_fading, f32, STEP_FADING),
            parameter!(true, ease.weighting.counts, f32, COUNTS),
        ]
    }

    fn tuning_order(&self) -> u8 {
        2
    }

    fn copy_weighting(&self) -> Option<fn(&mut Settings)> {
        Some(|settings| settings.ease.weighting = settings.user_cf.weighting)
    }
}
