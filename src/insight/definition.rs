//! What people decide of insight: named segments and tiers.

use serde::{Deserialize, Serialize};

use super::rfm::{self, RfmSegment};
use super::tiers::{self, TierProgram};
use crate::domain::Violation;

/// The decisions, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct InsightSettings {
    /// Segments of users by their scores; empty: [`rfm::usual_segments`].
    pub rfm_segments: Vec<RfmSegment>,
    /// Programs of tiers.
    pub tier_programs: Vec<TierProgram>,
}

impl InsightSettings {
    /// Checks every limit.
    ///
    /// # Errors
    /// The field that breaks its limit.
    pub fn check(&self) -> Result<(), Violation> {
        rfm::check(&self.rfm_segments)?;
        tiers::check(&self.tier_programs)
    }

    /// The segments in force.
    pub fn segments(&self) -> Vec<RfmSegment> {
        if self.rfm_segments.is_empty() { rfm::usual_segments() } else { self.rfm_segments.clone() }
    }
}
