//! VMIS-kNN (Kersbergen, Sprangers and Schelter, SIGMOD 2022): the sessions most similar to the
//! newest items vote for what they hold.
//!
//! An item at place p of L, counted from the oldest, weighs p / L; a session's similarity is the
//! sum over the items it shares; its vote counts max(0, 1 − r / 10), with r the place of the newest
//! shared item, counted from the newest, and each item its idf.

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::memory::{CELL, DataSize, MemoryNeed};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{Hyperparameter, parameter};
use crate::domain::ItemIdx;
use crate::matrix::weight::kind_weight;
use crate::model::{Parts, Settings, Snapshot};
use crate::train::{TrainError, sessions};

/// Matches further back than this have no influence.
const MATCH_REACH: f32 = 10.0;

pub(super) struct Session;

impl CandidateSource for Session {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        parts.sessions = Arc::new(sessions::train(job.data.events(), &job.settings.session));
        Ok(())
    }

    fn memory(&self, size: &DataSize, _settings: &Settings) -> MemoryNeed {
        // Sessions and their transpose; twice while rows become a matrix.
        MemoryNeed::new(2 * size.events * CELL, 2 * size.events * CELL)
    }

    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        let settings = &query.settings(snapshot).session;
        let model = &snapshot.parts.sessions;
        let newest = newest_items(query, settings.items, scratch);
        let Scratch { items, users: sessions, mask, candidates, .. } = scratch;
        sessions.reserve(model.items.rows());
        items.reserve(model.items.width);
        let len = newest.len() as f32;
        model.newest.fetch(newest.iter().copied());

        for (back, &item) in newest.iter().enumerate() {
            let weight = (len - back as f32) / len;
            for (session, _) in model.newest.pairs(item as usize) {
                sessions.add(session, weight);
            }
        }

        sessions.drain_top(settings.neighbours, |_| true, candidates);
        model.items.fetch(candidates.iter().map(|neighbour| neighbour.idx));
        for neighbour in candidates.drain(..) {
            let (held, _) = model.items.row(neighbour.idx as usize);
            let shared = newest.iter().position(|item| held.contains(item)).unwrap_or(0);
            let vote = (1.0 - shared as f32 / MATCH_REACH).max(0.0) * neighbour.score;
            for &item in held {
                items.add(item, vote * model.idf[item as usize]);
            }
        }
        items.drain_top(k, |item| mask.allows(item), candidates);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        vec![
            parameter!(false, session.items, usize, [1.0, 2.0, 4.0, 8.0, 16.0]),
            parameter!(false, session.neighbours, usize, [25.0, 50.0, 100.0, 300.0, 1_000.0]),
        ]
    }

    fn reads_order(&self) -> bool {
        true
    }
}

/// The newest distinct items, newest first.
fn newest_items(query: &Query<'_>, max: usize, scratch: &mut Scratch) -> Vec<ItemIdx> {
    query.events(scratch);
    let mut newest: Vec<ItemIdx> = Vec::with_capacity(max);
    for event in scratch.events.iter().rev().filter(|e| kind_weight(e.kind) > 0.0) {
        if newest.len() == max {
            break;
        }
        if !newest.contains(&event.item) {
            newest.push(event.item);
        }
    }
    newest
}
