//! The record of one request, which metrics, the request log and traces read: the stages it passed,
//! how long each took and how many candidates left it, and what it was for. It names no user and no
//! item.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::RequestCounts;

/// A request, from its arrival to its answer.
#[derive(Debug)]
pub struct RequestRecord {
    /// When it arrived.
    pub started: Instant,
    facts: Mutex<Facts>,
}

/// What a request has shown so far.
#[derive(Debug, Default)]
pub struct Facts {
    /// The name of its API key; empty without one.
    pub key: String,
    /// Where requests of its store are counted; none for a request of no store.
    pub counts: Option<Arc<RequestCounts>>,
    /// Whether it is a stream of messages, which lasts as long as its caller wants.
    pub is_stream: bool,
    /// The generation that answered; 0 for none.
    pub generation: u64,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
}

/// A stage that a request passed.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// The candidate source that it asked; empty for none.
    pub source: &'static str,
    /// When it ended; it began where the stage before ended.
    pub ended: Instant,
    /// Candidates, items or users that left it; none where it passes none on.
    pub passed: Option<usize>,
}

/// Stages that a request usually has.
const USUAL_STAGES: usize = 8;
/// Stages that are kept of one request: more than a list has.
const MAX_STAGES: usize = 64;

impl Default for RequestRecord {
    fn default() -> Self {
        let stages = Vec::with_capacity(USUAL_STAGES);
        let facts = Mutex::new(Facts { stages, ..Facts::default() });
        Self { started: Instant::now(), facts }
    }
}

impl Facts {
    /// The name of its store; empty for none.
    pub fn store(&self) -> &str {
        self.counts.as_ref().map_or("", |counts| &counts.store)
    }
}

impl RequestRecord {
    /// Notes that a stage ends now.
    pub fn end(&self, name: &'static str) {
        self.end_stage(name, "", None);
    }

    /// Notes that a stage ends now, which asked a source and passed on a number of candidates.
    pub fn end_stage(&self, name: &'static str, source: &'static str, passed: Option<usize>) {
        let stage = Stage { name, source, ended: Instant::now(), passed };
        let mut facts = self.facts.lock();
        if facts.stages.len() < MAX_STAGES {
            facts.stages.push(stage);
        }
    }

    /// Notes the API key that it came with.
    pub fn came_with(&self, key: &str) {
        key.clone_into(&mut self.facts.lock().key);
    }

    /// Notes the store that it is for.
    pub fn is_for(&self, counts: &Arc<RequestCounts>) {
        self.facts.lock().counts = Some(counts.clone());
    }

    /// Notes that it is a stream of messages.
    pub fn streams(&self) {
        self.facts.lock().is_stream = true;
    }

    /// Notes the generation that answers.
    pub fn answered_by(&self, generation: u64) {
        self.facts.lock().generation = generation;
    }

    /// Takes what is known, at the end of the request.
    pub fn take_facts(&self) -> Facts {
        std::mem::take(&mut *self.facts.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_kept_in_order_and_in_bounds() {
        let record = RequestRecord::default();
        record.end("receive");
        (0..2 * MAX_STAGES).for_each(|n| record.end_stage("retrieve", "item_cf", Some(n)));
        record.came_with("shop");
        record.answered_by(7);

        let facts = record.take_facts();
        assert_eq!(
            (facts.key.as_str(), facts.generation, facts.stages.len()),
            ("shop", 7, MAX_STAGES)
        );
        assert_eq!((facts.stages[0].name, facts.stages[1].passed), ("receive", Some(0)));
        assert!(facts.stages.is_sorted_by_key(|stage| stage.ended));
    }
}
