//! Purchase logs and catalogues from files: CSV (also TSV, `.gz`, `.zst`), JSON
//! Lines, Parquet → events and items. Reads and cleans; writes nothing: the
//! engine does that.
//!
//! - [`columns`]: the canonical columns, and how a file's are mapped to them
//! - [`reader`]: opening a file, whatever its format; [`text`], [`parquet`]: the formats
//! - [`convert`]: a row becomes an event or an item, or is refused with a reason
//! - [`timestamp`]: the spellings of time
//! - [`preset`]: cleaning for logs with known dirt

pub mod columns;
pub mod convert;
pub mod parquet;
pub mod preset;
pub mod reader;
pub mod text;
pub mod timestamp;

use std::path::PathBuf;

use thiserror::Error;

pub use columns::{Column, ColumnMap, Row};
pub use preset::Preset;
pub use reader::{Reader, open};

/// Why a file cannot be imported at all.
#[derive(Debug, Error)]
#[error("{}: {what}", path.display())]
pub struct ImportError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub what: String,
}

/// Why one row is refused: `reason` groups rows in the report, `detail` is for
/// the rejects file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A few words, the same for all rows of a kind.
    pub reason: String,
    /// What was given.
    pub detail: String,
}

/// Why reading a file stopped before its end; what came before is good.
#[derive(Debug, Error)]
#[error("the file is damaged or cut short after row {row}: {what}")]
pub struct Broken {
    /// The last row that was read, by its number.
    pub row: u64,
    /// What happened.
    pub what: String,
}

impl Refusal {
    /// A refusal with its reason and what was given.
    pub fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason: reason.into(), detail: detail.into() }
    }
}
