//! The lineage of a pushed model: where it came from, and the gate's checks.

use serde::{Deserialize, Serialize};

use crate::domain::{Check, Generation, Offset};

/// A pushed model's lineage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Lineage {
    /// The generation as which it was published; later ones carry it on.
    pub generation: Generation,
    /// The generation whose trained parts it was assembled with.
    pub base: Generation,
    /// The id of its push.
    pub push_id: String,
    /// Its author, as given.
    pub pushed_by: String,
    /// The comment.
    pub note: String,
    /// When, in milliseconds since 1970.
    pub pushed_ms: i64,
    /// It may have been trained on events up to then, in milliseconds since 1970.
    pub trained_until_ms: i64,
    /// Where the log ended that it was trained on, if its file states it.
    pub log_offset: Option<Offset>,
    /// The minimum length of a log that has all its ids.
    pub known_offset: Offset,
    /// The tensors of the file, with their shapes.
    pub contents: Vec<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Whether it was accepted against the verdict on its quality.
    pub forced: bool,
    /// The gate's checks.
    pub checks: Vec<Check>,
}
