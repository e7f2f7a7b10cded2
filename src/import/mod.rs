//! Purchase logs, catalogues and users from files: CSV (also TSV, `.gz`, `.zst`), JSON
//! Lines, Parquet → events, items and users. Reads and cleans; writes nothing: the
//! engine does that.
//!
//! - [`dialect`]: what a file's columns, bytes, times, numbers and words mean
//! - [`columns`]: the canonical columns, and how a file's are mapped to them; [`row`]: their values
//! - [`reader`]: opening a file, whatever its format; [`encoding`]: bytes as UTF-8; [`csv`],
//!   [`json_lines`], [`parquet`]: the formats; [`lines`]: lines of text
//! - [`convert`]: a row becomes an event, an item or a user, or is refused with a reason;
//!   [`fields`]: what is required, and what is dropped
//! - [`timestamp`]: the spellings of time, [`time_text`]: those that are text; [`time_format`]: the one that is given; [`date_order`]:
//!   whether the day or the month comes first
//! - [`event_names`]: what logs call the kinds of events
//! - [`plan`]: all that together; [`identity`]: what makes two rows the same
//! - [`preset`]: cleaning for logs with known dirt; [`notice`]: logs that look as if they had some

pub mod columns;
pub mod convert;
pub mod csv;
pub mod date_order;
pub mod dialect;
pub mod encoding;
pub mod event_names;
pub mod fields;
pub mod identity;
pub mod json_lines;
mod lines;
pub mod notice;
pub mod parquet;
pub mod plan;
pub mod preset;
pub mod reader;
pub mod row;
pub mod time_format;
mod time_text;
pub mod timestamp;

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

pub use columns::{Column, ColumnMap, Places};
pub use dialect::Dialect;
pub use plan::Plan;
pub use preset::Preset;
pub use reader::{Reader, open};
pub use row::Row;

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
    /// What helps, an option perhaps; may be empty.
    pub help: &'static str,
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

impl fmt::Display for Refusal {
    /// The reason, and what helps.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", explained("refused", &self.reason, self.help))
    }
}

/// What became of a row, with the reason and what helps.
pub fn explained(verdict: &str, reason: &str, help: &str) -> String {
    if help.is_empty() {
        format!("{verdict}: {reason}")
    } else {
        format!("{verdict}: {reason} ({help})")
    }
}

impl Refusal {
    /// A refusal with its reason and what was given.
    pub fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason: reason.into(), detail: detail.into(), help: "" }
    }

    /// The same with what helps.
    pub fn with_help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }
}
