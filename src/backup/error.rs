//! Why a backup cannot be made, read or restored.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model::disk::SnapshotError;
use crate::store::StoreError;

/// Why a backup cannot be made, read or restored.
#[derive(Debug, Error)]
pub enum BackupError {
    /// A file operation failed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A log of the data folder cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A model of the data folder cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The backup's bytes are not what was written.
    #[error("the backup {} is damaged: {what}", path.display())]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The path cannot be used for this.
    #[error("{}: {what}", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// Why not, and what to do.
        what: String,
    },
}

impl BackupError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }

    pub(super) fn refused(path: &Path, what: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), what: what.into() }
    }
}
