//! Why a file, the rest of a file, or a row of it cannot be read.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Why a file cannot be imported at all.
#[derive(Debug, Error)]
#[error("{}: {what}", path.display())]
pub struct ImportError {
    /// The file.
    pub path: PathBuf,
    /// The reason, and what to do.
    pub what: String,
}

/// Why a row is refused: `reason` groups rows in the report, `detail` goes to the rejects file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A few words, the same for all rows of a kind.
    pub reason: String,
    /// The given value.
    pub detail: String,
    /// An option or action that helps; may be empty.
    pub help: &'static str,
}

/// Why reading a file stopped before its end; rows before are valid.
#[derive(Debug, Error)]
#[error("the file is damaged or cut short after row {row}: {what}")]
pub struct Broken {
    /// Number of the last row that was read.
    pub row: u64,
    /// The reason.
    pub what: String,
}

impl fmt::Display for Refusal {
    /// The reason and what helps.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", explained("refused", &self.reason, self.help))
    }
}

/// The outcome of a row, with the reason and what helps.
pub fn explained(verdict: &str, reason: &str, help: &str) -> String {
    if help.is_empty() {
        format!("{verdict}: {reason}")
    } else {
        format!("{verdict}: {reason} ({help})")
    }
}

impl Refusal {
    /// A refusal with its reason and the given value.
    pub fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason: reason.into(), detail: detail.into(), help: "" }
    }

    /// Adds an option or action that helps.
    pub fn with_help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }
}
