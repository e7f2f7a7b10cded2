//! Why durable state cannot be opened, read or written; each message says what to do.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why durable state fails; each message says what to do.
#[derive(Debug, Error)]
pub enum StoreError {
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
    /// Bytes on disk are not what was written.
    #[error(
        "the log is damaged: {} at byte {position}: {what}. Records before offset {offset} are \
         whole. Nothing was changed. Restore this file from a backup; or move it away and start once \
         with --accept-log-loss to continue without its records",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Position of the damaged block in the file.
        position: u64,
        /// Offset that the damaged block should begin with.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Something is missing or incomplete that must exist.
    #[error(
        "the store has lost {}: {what}. Restore it from a backup; or start once with \
         --accept-log-loss, which continues without it where the rest is whole",
        path.display()
    )]
    Lost {
        /// What is lost.
        path: PathBuf,
        /// How that is known.
        what: String,
    },
    /// An open file was removed, moved or replaced.
    #[error(
        "{} was removed or replaced while it was written to; a restart would not find later writes",
        path.display()
    )]
    Removed {
        /// The file.
        path: PathBuf,
    },
    /// Another process has the folder open.
    #[error(
        "the data folder {} is in use by another process; stop it, or use it with --server ADDR",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder's format number cannot be read.
    #[error(
        "the data folder {} is damaged: its FORMAT file holds {found:?}, not a number. If the folder is of \
         this version, write {known} into it",
        path.display()
    )]
    NoFormat {
        /// The folder.
        path: PathBuf,
        /// What the file holds.
        found: String,
        /// The format of this version.
        known: u32,
    },
    /// A newer version wrote the folder.
    #[error(
        "the data folder {} has format {found}, written by a newer version; this one reads up to \
         format {known}: upgrade qianmian, or name another folder",
        path.display()
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// The format found.
        found: String,
        /// The newest format known here.
        known: u32,
    },
    /// The folder's users have the pseudonyms of another key, or of none.
    #[error(
        "the store {} was written {written} for pseudonyms and cannot be opened {opened}: set \
         privacy.pseudonym_key as it was, or import into another folder",
        path.display()
    )]
    OtherKey {
        /// The store's folder.
        path: PathBuf,
        /// The key it was written with.
        written: &'static str,
        /// The key it was to be opened with.
        opened: &'static str,
    },
    /// Cancelled before it was done.
    #[error("stopped before the log's files were rewritten; the next training continues")]
    Stopped,
    /// A write is larger than can be read back.
    #[error(
        "the batch takes {bytes} bytes in the log, over the limit of {limit}; send it in parts"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An earlier write or flush failed in the middle, so what is on disk is unknown.
    #[error(
        "an earlier write to the log failed ({0}); the store accepts no more writes until a \
         restart has read the disk"
    )]
    Poisoned(String),
}

impl StoreError {
    /// A missing or incomplete part, and how that is known.
    pub fn lost(path: &Path, what: impl ToString) -> Self {
        StoreError::Lost { path: path.to_owned(), what: what.to_string() }
    }

    pub(super) fn io(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io { action, path, source }
    }
}

impl From<StoreError> for crate::domain::Error {
    fn from(error: StoreError) -> Self {
        crate::domain::Error::Storage(error.into())
    }
}
