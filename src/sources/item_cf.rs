//! Item CF: W = D_i^-a Xᵀ D_u^-b X D_i^-c. One family with three exponents: symmetric, RP3β, and
//! what lies between.

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::linear::linear;
use super::memory::{DataSize, MemoryNeed};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{COUNTS, HALF_LIVES, Hyperparameter, STEP_FADING, parameter};
use crate::model::{Parts, Settings, Snapshot};
use crate::train::{TrainError, cooccurrence};

/// The forms: the best sources of each target kept, the best targets of each source, rows scaled
/// to sum 1.
const FORMS: [f64; 3] = [0.0, 1.0, 2.0];

pub(super) struct ItemCf;

impl CandidateSource for ItemCf {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        let settings = &job.settings.item_cf;
        let matrix = job.data.matrix(settings.weighting.training());
        let before = job.data.before(|parts| &parts.item_cf);
        parts.item_cf = Arc::new(cooccurrence::item_cf(&matrix, settings, before, job.control)?);
        Ok(())
    }

    fn memory(&self, size: &DataSize, settings: &Settings) -> MemoryNeed {
        size.item_rows(settings.item_cf.neighbours)
    }

    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        let settings = query.settings(snapshot);
        query.profile(settings.item_cf.weighting.profile(), scratch);
        linear(&snapshot.parts.item_cf, k, scratch);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        let form = Hyperparameter {
            name: "item_cf.form",
            grid: &FORMS,
            retrains: true,
            min_gain: 0.0,
            applies: |_| true,
            get: |s| match (s.item_cf.scaled, s.item_cf.per_target) {
                (false, true) => 0.0,
                (false, false) => 1.0,
                (true, _) => 2.0,
            },
            set: |s, form| {
                s.item_cf.scaled = form == 2.0;
                s.item_cf.per_target = form == 0.0;
            },
        };

        let item_exponents = Hyperparameter {
            name: "item_cf.source_exponent, target_exponent",
            grid: &[0.1, 0.2, 0.3, 0.4, 0.5],
            retrains: true,
            min_gain: 0.0,
            applies: |_| true,
            get: |s| f64::from(s.item_cf.target_exponent),
            set: |s, exponent| {
                s.item_cf.source_exponent = exponent as f32;
                s.item_cf.target_exponent = exponent as f32;
            },
        };

        vec![
            form,
            item_exponents,
            parameter!(true, item_cf.user_exponent, f32, [0.25, 0.5, 0.75, 1.0]),
            parameter!(true, item_cf.weighting.half_life_days, f64, HALF_LIVES),
            parameter!(false, item_cf.weighting.profile_half_life_days, f64, HALF_LIVES),
            parameter!(false, item_cf.weighting.step_fading, f32, STEP_FADING),
            parameter!(true, item_cf.weighting.counts, f32, COUNTS),
        ]
    }

    fn is_always_trained(&self) -> bool {
        true
    }

    fn tuning_order(&self) -> u8 {
        1
    }

    fn copy_weighting(&self) -> Option<fn(&mut Settings)> {
        Some(|settings| settings.item_cf.weighting = settings.user_cf.weighting)
    }
}
