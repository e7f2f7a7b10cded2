//! The leases of a server that shares an object store with others.

use std::sync::Arc;

use crate::domain::Held;

/// The leases that decide what a server may do; a server without them may do everything.
#[derive(Debug, Clone, Default)]
pub struct Seats {
    /// While it is held, writes are acknowledged.
    pub writing: Option<Arc<Held>>,
    /// While it is held, trainings start by themselves.
    pub training: Option<Arc<Held>>,
    /// Whether a write is acknowledged only once it is uploaded: then the server that takes this one's place has
    /// it.
    pub acknowledges_uploaded: bool,
    /// Whether models that are trained here are handed over to the server that writes.
    pub hands_over: bool,
}

impl Seats {
    /// Whether writes may be acknowledged now.
    pub(super) fn may_write(&self) -> bool {
        self.writing.as_ref().is_none_or(|held| held.holds())
    }

    /// Whether trainings may start by themselves now.
    pub(super) fn may_train(&self) -> bool {
        self.training.as_ref().is_none_or(|held| held.holds())
    }
}
