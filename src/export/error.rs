//! Why an export fails.

use thiserror::Error;

use crate::model::disk;
use crate::store::StoreError;

/// Why an export fails.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The snapshot cannot be read.
    #[error(transparent)]
    Snapshot(#[from] disk::SnapshotError),
    /// The file cannot be written.
    #[error("the file cannot be written: {0}")]
    Write(String),
    /// There is nothing to write.
    #[error("{0}")]
    Nothing(String),
}
