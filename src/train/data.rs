//! Training data: the events as of a time, and the matrices made from them, one for each
//! weighting; where users are taken out of a model, also what an earlier training made.

use std::sync::Arc;

use parking_lot::Mutex;

use super::cooccurrence::Before;
use crate::content::Corpus;
use crate::domain::ItemIdx;
use crate::matrix::{Csr, Interactions, UserEvents, Weighting};
use crate::model::Parts;

/// Matrices kept at a time: a tuner asks for dozens, each as large as the log.
const KEPT: usize = 4;
/// Cells of all but the newest of them: 600 MB.
const KEPT_CELLS: usize = 30_000_000;

/// The number of matrices kept at a time where each has that many cells.
pub fn kept_matrices(cells: usize) -> usize {
    (1 + KEPT_CELLS / cells.max(1)).min(KEPT)
}

/// An earlier training with the same settings, on the same events and those of users who are gone since.
#[derive(Debug, Clone, Copy)]
pub struct Earlier<'e> {
    /// What it made.
    pub parts: &'e Parts,
    /// All items of the users who are gone, each once.
    pub items: &'e [ItemIdx],
}

/// Events and the matrices made from them.
#[derive(Debug)]
pub struct TrainingData<'e> {
    events: &'e UserEvents,
    now_ms: i64,
    corpus: Arc<Corpus>,
    earlier: Option<Earlier<'e>>,
    matrices: Mutex<Vec<(Weighting, Arc<Interactions>)>>,
}

impl<'e> TrainingData<'e> {
    /// Training data of `events`, as of the newest of them; see [`UserEvents::as_of_ms`].
    pub fn new(events: &'e UserEvents) -> Self {
        Self {
            events,
            now_ms: events.as_of_ms(),
            corpus: Arc::default(),
            earlier: None,
            matrices: Mutex::default(),
        }
    }

    /// The same, with what items are.
    pub fn with_corpus(self, corpus: &Arc<Corpus>) -> Self {
        Self { corpus: corpus.clone(), ..self }
    }

    /// The same after an earlier training, which spares what the users who are gone did not change. Tables
    /// and vectors are the same without it; the graph keeps its links.
    pub fn after(self, earlier: Option<Earlier<'e>>) -> Self {
        Self { earlier, ..self }
    }

    /// The earlier training.
    pub fn earlier(&self) -> Option<&Earlier<'e>> {
        self.earlier.as_ref()
    }

    /// A table of the earlier training.
    pub fn before(&self, table: impl Fn(&Parts) -> &Csr) -> Option<Before<'e>> {
        self.earlier.map(|earlier| Before { table: table(earlier.parts), items: earlier.items })
    }

    /// What items are; empty without a catalogue.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// The events.
    pub fn events(&self) -> &'e UserEvents {
        self.events
    }

    /// The time as of which the events are looked at, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The matrix with this weighting, cached while few others are asked for.
    pub fn matrix(&self, weighting: Weighting) -> Arc<Interactions> {
        let mut matrices = self.matrices.lock();
        if let Some((_, made)) = matrices.iter().find(|(of, _)| *of == weighting) {
            return made.clone();
        }
        if matrices.len() == kept_matrices(self.events.all().len()) {
            matrices.remove(0);
        }
        let made = Arc::new(Interactions::new(self.events, &weighting, self.now_ms));
        matrices.push((weighting, made.clone()));
        made
    }
}
