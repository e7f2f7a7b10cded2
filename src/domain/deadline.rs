//! The deadline of a request.

use std::time::{Duration, Instant};

/// A deadline closer than this is near.
const NEAR: Duration = Duration::from_millis(2);

/// The time when the caller stops waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// Whether an ordinary answer that begins now may come too late.
    pub fn is_near(self) -> bool {
        self.0.saturating_duration_since(Instant::now()) < NEAR
    }
}
