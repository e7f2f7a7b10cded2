//! Where a pushed model came from, and what the gate found before it was let in.

use serde::{Deserialize, Serialize};

use crate::domain::{Check, Generation, Offset};

/// A pushed model's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Lineage {
    /// The generation that it came as; later ones carry it on.
    pub generation: Generation,
    /// The generation whose trained parts it was put beside then.
    pub base: Generation,
    /// What its push was called.
    pub push_id: String,
    /// Who pushed it, as they said.
    pub pushed_by: String,
    /// What they said of it.
    pub note: String,
    /// When, in milliseconds since 1970.
    pub pushed_ms: i64,
    /// It may have been trained on what happened until then, in milliseconds since 1970.
    pub trained_until_ms: i64,
    /// Where the log ended that it was trained on, where its file says so.
    pub log_offset: Option<Offset>,
    /// Its ids are those of a log of at least so many records.
    pub known_offset: Offset,
    /// What the file held, with its shapes.
    pub contents: Vec<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Whether it was let in against the verdict on its quality.
    pub forced: bool,
    /// What the gate found.
    pub checks: Vec<Check>,
}
