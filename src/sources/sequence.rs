//! Vectors learned from what came next: score_j = exp((cos(u, e_j) − 1) / temperature), with u the vectors of
//! the user's last items, weighted by how many steps ago they were ([`sequence::train`]).

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::memory::{DataSize, MemoryNeed};
use super::nearest::{index, nearest};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{Hyperparameter, parameter};
use crate::domain::history::is_one_step;
use crate::domain::kernels::dot;
use crate::domain::{HistoryEvent, ItemIdx};
use crate::matrix::weight::kind_weight;
use crate::model::{Parts, Settings, Snapshot, Source};
use crate::train::graph::build::checked;
use crate::train::{TrainError, sequence};

pub(super) struct Sequence;

/// The time of the running session where there is none.
const NO_SESSION: i64 = i64::MAX;
/// The name of the graph's recall.
const RECALL: &str = "sequence_recall@10";

impl CandidateSource for Sequence {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        let (mut vectors, fading) =
            sequence::train(job.data.events(), &job.settings.sequence, job.seed, job.control)?;
        vectors.encode();
        parts.sequence = Arc::new(vectors);
        parts.tables.insert(Source::Sequence, Arc::new(fading));
        Ok(())
    }

    fn index(
        &self,
        job: &TrainingJob<'_>,
        parts: &mut Parts,
    ) -> Result<Option<(String, f64)>, TrainError> {
        let events = job.data.events();
        let mut queries = Vec::new();
        for user in checked(events.users()) {
            let mut of_user = events.of(user).to_vec();
            of_user.retain(|e| kind_weight(e.kind) > 0.0);
            let mut vector = Vec::new();
            user_vector(parts, &of_user, NO_SESSION, &mut vector);
            queries.push(vector);
        }
        queries.retain(|vector| dot(vector, vector) > 0.0);
        let model = Arc::make_mut(&mut parts.sequence);
        // Another training lays the vectors elsewhere: links of an earlier one are no use.
        let recall = index(model, None, queries, job)?;
        Ok(recall.map(|recall| (RECALL.to_owned(), recall)))
    }

    fn memory(&self, size: &DataSize, settings: &Settings) -> MemoryNeed {
        let vectors = size.items * sequence::BYTES_PER_ITEM;
        let examples = size.events.min(settings.sequence.visits as u64);
        let learning = 4 * vectors + examples * sequence::BYTES_PER_EXAMPLE;
        MemoryNeed::new(0, learning).then(size.graph(vectors))
    }

    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        let temperature = query.settings(snapshot).sequence.temperature;
        query.events(scratch);
        let Scratch { events, mask, candidates, query: vector, search, .. } = scratch;
        events.retain(|e| kind_weight(e.kind) > 0.0);
        user_vector(&snapshot.parts, events, query.shelf.now_ms, vector);

        *candidates = nearest(&snapshot.parts.sequence, vector, k, mask, search);
        candidates.iter_mut().for_each(|s| s.score = ((s.score - 1.0) / temperature).exp());
        candidates.retain(|s| s.score > 0.0);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        vec![parameter!(false, sequence.temperature, f32, [0.035, 0.07, 0.14, 0.28, 0.56])]
    }

    fn reads_order(&self) -> bool {
        true
    }
}

/// The items of a step, each once.
fn items(step: &[HistoryEvent]) -> Vec<ItemIdx> {
    let mut items: Vec<ItemIdx> = step.iter().map(|event| event.item).collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// Writes the vector of a user who did this, in order, into `vector`; of length 1, or zeros.
fn user_vector(parts: &Parts, events: &[HistoryEvent], now_ms: i64, vector: &mut Vec<f32>) {
    let model = &parts.sequence;
    vector.clear();
    vector.resize(model.dimensions, 0.0);
    let Some(fading) = parts.tables.get(&Source::Sequence).filter(|table| table.rows() > 0) else {
        return;
    };

    let mut steps = events.chunk_by(|a, b| is_one_step(a, b, now_ms)).rev().map(items).peekable();
    let mut left = sequence::ITEMS_BACK;
    for &weight in fading.row(0).1 {
        let Some(step) = steps.next() else { break };
        // As in training: the same item twice is no step.
        while steps.next_if(|before| step.len() == 1 && *before == step).is_some() {}

        for &item in step.iter().rev().take(left) {
            model.fold_in(item, weight, vector);
        }
        left = left.saturating_sub(step.len());
        if left == 0 {
            break;
        }
    }

    let length = dot(vector, vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
}
