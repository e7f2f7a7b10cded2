//! Where a copy of a log stands.

use crate::domain::Offset;

/// Where a follower's copy of a store stands.
#[derive(Debug, Clone)]
pub struct Position {
    /// Format of its log.
    pub format: u32,
    /// Fingerprint of its key for pseudonyms; none without one.
    pub key: Option<String>,
    /// End of its log.
    pub offset: Offset,
    /// Writer of the last record before it; none where there is no record.
    pub writer: Option<String>,
}
