//! What is known of a snapshot without reading its arrays.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Settings;
use crate::domain::{Generation, Offset};

/// Describes a snapshot; stored beside it as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its number.
    pub generation: Generation,
    /// It was trained on the log before this offset.
    pub offset: Offset,
    /// Newest event it was trained on, in milliseconds since 1970; the end of
    /// its windows of popularity.
    pub newest_ms: i64,
    /// Seed of its random numbers.
    pub seed: u64,
    /// How it was trained and is served.
    pub settings: Settings,
    /// Users with at least one interaction.
    pub users: u64,
    /// Items with at least one interaction.
    pub items: u64,
    /// Cells of the user-item matrix.
    pub interactions: u64,
    /// End of its training, in milliseconds since 1970.
    pub created_ms: i64,
    /// Length of its training.
    pub train_seconds: f64,
    /// Measured quality by name.
    pub quality: BTreeMap<String, f64>,
    /// Bytes of the arrays' file; 0 until it is saved.
    pub bytes: u64,
    /// XXH3-128 of the arrays' file, in hex; empty until it is saved.
    pub checksum: String,
}
