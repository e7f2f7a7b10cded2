//! The graph filter: score_j = Σ_i x_i W_ij, with W what low-pass filters on the graph of users and items
//! let through from i to j ([`graph_filter::train`]).

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::linear::linear;
use super::memory::{DataSize, MemoryNeed};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{COUNTS, HALF_LIVES, Hyperparameter, STEP_FADING, parameter};
use crate::model::{Parts, Settings, Snapshot, Source};
use crate::train::{TrainError, graph_filter};

pub(super) struct GraphFilter;

impl CandidateSource for GraphFilter {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        let settings = &job.settings.graph_filter;
        let matrix = job.data.matrix(settings.weighting.training());
        let table = graph_filter::train(&matrix, settings, job.seed, job.control)?;
        parts.tables.insert(Source::GraphFilter, Arc::new(table));
        Ok(())
    }

    fn memory(&self, size: &DataSize, settings: &Settings) -> MemoryNeed {
        let rows = size.users.max(size.items) as usize;
        let dimensions = graph_filter::affordable(settings.graph_filter.dimensions, rows);
        let vectors = MemoryNeed::new(0, size.decomposition(dimensions));
        vectors.then(size.item_rows(settings.graph_filter.neighbours))
    }

    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        scratch.candidates.clear();
        let Some(table) = snapshot.parts.tables.get(&Source::GraphFilter) else { return };
        query.profile(query.settings(snapshot).graph_filter.weighting.profile(), scratch);
        linear(table, k, scratch);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        vec![
            parameter!(true, graph_filter.popularity, f32, [0.0, 0.2, 0.4, 0.6]),
            parameter!(true, graph_filter.linear, f32, [0.0, 0.3, 1.0, 3.0]),
            parameter!(true, graph_filter.weighting.half_life_days, f64, HALF_LIVES),
            parameter!(false, graph_filter.weighting.profile_half_life_days, f64, HALF_LIVES),
            parameter!(false, graph_filter.weighting.step_fading, f32, STEP_FADING),
            parameter!(true, graph_filter.weighting.counts, f32, COUNTS),
            parameter!(true, graph_filter.dimensions, usize, [32.0, 64.0, 128.0, 256.0, 512.0]),
        ]
    }

    fn tuning_order(&self) -> u8 {
        4
    }

    fn copy_weighting(&self) -> Option<fn(&mut Settings)> {
        Some(|settings| settings.graph_filter.weighting = settings.user_cf.weighting)
    }
}
