//! How a log is opened, and what its acknowledgements promise.

use serde::{Deserialize, Serialize};

use super::ledger::Begins;

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Power loss: the disk has flushed (fsync) before the acknowledgement.
    PowerLoss,
    /// The end of the process only: the operating system has the write. Power loss can lose every
    /// write since the system's last flush, tens of seconds.
    ProcessCrash,
}

/// How a log is opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// A new segment begins once one holds this many bytes.
    pub segment_bytes: u64,
    /// Whether the folder must have the list of its files and the mark of what is on disk; folders
    /// of earlier versions get them now.
    pub proven: bool,
    /// Whether to continue where files, or acknowledged records, are lost.
    pub accept_loss: bool,
    /// Where the first file begins that is replayed: what is before it is known from a checkpoint.
    pub from: Begins,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            durability: Durability::PowerLoss,
            segment_bytes: 256 << 20,
            proven: true,
            accept_loss: false,
            from: Begins::default(),
        }
    }
}
