//! Progress reports of long work, and its cancellation.

use std::sync::atomic::{AtomicBool, Ordering};

/// The stages of a training, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the log into the user-item matrix.
    ReadLog,
    /// Fitting settings to held-out behaviour.
    Tune,
    /// Counting popularity.
    Popularity,
    /// Item-based collaborative filtering and similar items.
    ItemCf,
    /// Baskets: what is bought together.
    Baskets,
    /// User-based collaborative filtering.
    UserCf,
    /// Item weights in closed form.
    Ease,
    /// Low-pass filters on the graph of users and items.
    GraphFilter,
    /// Sessions and transitions.
    Sequences,
    /// Embeddings by singular value decomposition.
    Embeddings,
    /// The nearest-neighbour graph over the embeddings.
    Ann,
    /// What items are.
    Content,
    /// Preparing lists.
    Lists,
    /// Writing the snapshot.
    Persist,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Stage; 14] = [
        Stage::ReadLog,
        Stage::Tune,
        Stage::Popularity,
        Stage::ItemCf,
        Stage::Baskets,
        Stage::UserCf,
        Stage::Ease,
        Stage::GraphFilter,
        Stage::Sequences,
        Stage::Embeddings,
        Stage::Ann,
        Stage::Content,
        Stage::Lists,
        Stage::Persist,
    ];

    /// Display name.
    pub fn name(self) -> &'static str {
        match self {
            Stage::ReadLog => "read log",
            Stage::Popularity => "popularity",
            Stage::ItemCf => "item cf",
            Stage::Baskets => "baskets",
            Stage::UserCf => "user cf",
            Stage::Ease => "ease",
            Stage::GraphFilter => "graph filter",
            Stage::Sequences => "sequences",
            Stage::Embeddings => "embeddings",
            Stage::Ann => "ann graph",
            Stage::Content => "content",
            Stage::Tune => "tune",
            Stage::Lists => "lists",
            Stage::Persist => "persist",
        }
    }

    /// Its position, from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }
}

/// Reports the stages of a training and cancels it.
pub struct Control<'a> {
    report: &'a (dyn Fn(Stage) + Sync),
    cancel: &'a AtomicBool,
}

/// The training was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the training was cancelled")]
pub struct Cancelled;

impl<'a> Control<'a> {
    /// Reports to `report`, and is cancelled once `cancel` is set.
    pub fn new(report: &'a (dyn Fn(Stage) + Sync), cancel: &'a AtomicBool) -> Self {
        Self { report, cancel }
    }

    /// Begins a stage, unless the work is cancelled.
    pub fn begin(&self, stage: Stage) -> Result<(), Cancelled> {
        self.check()?;
        (self.report)(stage);
        Ok(())
    }

    /// Fails once the work is cancelled; cheap enough for inner loops.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.cancel.load(Ordering::Relaxed) { Err(Cancelled) } else { Ok(()) }
    }
}
