//! The memory of a training: what the log takes, what each source takes in addition, and which sources
//! a budget leaves room for.
//!
//! Figures are estimates from above, from the sizes of the arrays that a trainer allocates; the peak of a
//! training is that of its costliest source, beside what the sources before it left.

use crate::matrix::UserEvents;
use crate::model::{Settings, Source};
use crate::train::TrainError;
use crate::train::data::kept_matrices;
use crate::train::svd::{BLOCK, OVERSAMPLING};

/// Bytes of a cell of a sparse row: a column and a value.
pub(super) const CELL: u64 = 8;
/// Bytes of an event of the log, with its place in its user's history.
const EVENT: u64 = 36;
/// Bytes of a cell of the user-item matrix: in both directions, and its time.
const MATRIX_CELL: u64 = 2 * CELL + 4;
/// Bytes of a user or an item that every training takes: ends of rows, popularity, habits.
const ROW: u64 = 100;
/// Bytes of an item's links in a nearest-neighbour graph.
const LINKS: u64 = 200;
/// Bytes of an item while the graph is built.
const BUILDING: u64 = 2_000;
/// Cells of a row that the related lists keep.
const RELATED: usize = 400;

/// The size of what a training learns from.
#[derive(Debug, Clone, Copy)]
pub struct DataSize {
    /// Users in the vocabulary.
    pub users: u64,
    /// Items in the vocabulary.
    pub items: u64,
    /// Events, of which the matrix has at most one cell each.
    pub events: u64,
    /// Threads that train.
    pub threads: u64,
}

/// The memory that a training may take.
#[derive(Debug, Clone, Copy)]
pub struct TrainingMemory {
    /// What it learns from.
    pub size: DataSize,
    /// Bytes that it may take beside what the process holds already; none without a limit.
    pub budget: Option<u64>,
}

/// The memory that a source takes beside the log, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryNeed {
    /// While it is trained.
    pub training: u64,
    /// Of that, what it keeps until the training ends.
    pub kept: u64,
}

impl DataSize {
    /// The size of a log on which this number of threads trains.
    pub fn of(events: &UserEvents, threads: usize) -> Self {
        Self {
            users: events.users() as u64,
            items: events.items() as u64,
            events: events.all().len() as u64,
            threads: threads as u64,
        }
    }

    /// The need of item rows with up to `neighbours` cells, of which every thread sums one at a time.
    pub(super) fn item_rows(&self, neighbours: usize) -> MemoryNeed {
        let kept = self.items * self.items.min(neighbours as u64) * CELL;
        MemoryNeed { training: 2 * kept + self.threads * self.items * CELL, kept }
    }

    /// The need of a singular value decomposition: two normalised copies of the matrix, and dense
    /// matrices with that many columns: two subspaces of the smaller side and three copies while they are
    /// made orthonormal, the vectors of items, and a block of the larger side.
    pub(super) fn decomposition(&self, dimensions: usize) -> u64 {
        let block = self.users.max(self.items).min(BLOCK as u64);
        let rows = 5 * self.users.min(self.items) + self.items + block;
        let columns = (dimensions + OVERSAMPLING) as u64;
        let dense = rows * columns * size_of::<f32>() as u64;
        2 * self.events * CELL + dense
    }

    /// The need of vectors that take that many bytes, and of the nearest-neighbour graph over them.
    pub(super) fn graph(&self, vectors: u64) -> MemoryNeed {
        MemoryNeed::new(vectors + self.items * LINKS, self.items * BUILDING)
    }

    /// What the related lists take while they are trained: the matrix with ones and baskets, each in both
    /// directions, and rows before they are joined.
    fn related(&self) -> MemoryNeed {
        let rows = self.item_rows(RELATED);
        MemoryNeed::new(rows.kept, 4 * self.events * CELL + rows.training - rows.kept)
    }

    /// The need of the log, its matrices and the related lists.
    fn base(&self) -> u64 {
        let matrices = kept_matrices(self.events as usize) as u64;
        let log = self.events * (EVENT + matrices * MATRIX_CELL);
        log + (self.users + self.items) * ROW + self.related().kept
    }
}

impl MemoryNeed {
    /// What is kept, and what is taken in addition while it is trained.
    pub(super) fn new(kept: u64, in_addition: u64) -> Self {
        Self { training: kept + in_addition, kept }
    }

    /// What two steps of one source need, one after the other.
    pub(super) fn then(self, next: Self) -> Self {
        let training = self.training.max(self.kept + next.training);
        Self { training, kept: self.kept + next.kept }
    }
}

impl TrainingMemory {
    /// The trained sources that do not fit beside those before them in the blend's order.
    ///
    /// # Errors
    /// [`TrainError::Memory`] where the log itself does not fit, or a source that every model has.
    pub fn left_out(&self, settings: &Settings) -> Result<Vec<Source>, TrainError> {
        let Some(budget) = self.budget else { return Ok(Vec::new()) };
        let mut held = self.size.base();
        let related = self.size.related();
        let needs = held - related.kept + related.training;
        if needs > budget {
            return Err(TrainError::Memory { needs, budget });
        }

        let mut left_out = Vec::new();
        for source in Source::TRAINED {
            let Some(candidate) = super::of(source) else { continue };
            let need = candidate.memory(&self.size, settings);
            if held + need.training <= budget {
                held += need.kept;
            } else if candidate.is_always_trained() {
                return Err(TrainError::Memory { needs: held + need.training, budget });
            } else {
                left_out.push(source);
            }
        }

        if held > budget {
            return Err(TrainError::Memory { needs: held, budget });
        }
        Ok(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: DataSize =
        DataSize { users: 1_000_000, items: 100_000, events: 20_000_000, threads: 2 };

    fn left_out(mib: u64) -> Result<Vec<Source>, TrainError> {
        let memory = TrainingMemory { size: SIZE, budget: Some(mib << 20) };
        memory.left_out(&Settings::default())
    }

    #[test]
    fn a_source_that_does_not_fit_is_left_out_and_smaller_ones_after_it_are_not() {
        assert_eq!(left_out(1 << 20).unwrap(), []);
        let settings = Settings::default();
        let unlimited = TrainingMemory { size: SIZE, budget: None };
        assert_eq!(unlimited.left_out(&settings).unwrap(), []);

        // As little as the sources that every model has leave room for.
        let least = (1..1 << 14).find(|&mib| left_out(mib).is_ok()).unwrap();
        let without = left_out(least).unwrap();
        assert!(!without.is_empty() && without.len() < Source::TRAINED.len() - 4, "{without:?}");
        let said = left_out(least - 1).unwrap_err().to_string();
        assert!(said.contains("(train.memory_mib)"), "{said}");

        // More memory never leaves out more.
        let counts: Vec<usize> =
            (0..40).map(|n| left_out(least + n * 100).unwrap().len()).collect();
        assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
    }
}
