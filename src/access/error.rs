//! Why keys or the audit log cannot be read or written; each message says what to do.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why keys or the audit log cannot be read or written.
#[derive(Debug, Error)]
pub enum AccessError {
    /// A file operation failed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file of keys is not what was written.
    #[error(
        "the file of keys {} is damaged: {what}. Restore it from a backup; without it the server \
         would not know who may call",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There were keys, and their file is gone.
    #[error(
        "the file of keys {} is lost. Restore it from a backup; or remove {} to begin without keys",
        path.display(),
        mark.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// The file by which that is known.
        mark: PathBuf,
    },
}

impl AccessError {
    pub(super) fn io(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> AccessError {
        let path = path.to_owned();
        move |source| AccessError::Io { action, path, source }
    }
}

impl From<AccessError> for crate::domain::Error {
    fn from(error: AccessError) -> Self {
        crate::domain::Error::Storage(error.into())
    }
}
