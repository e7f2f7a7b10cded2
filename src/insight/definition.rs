//! What people decide of insight: named segments and tiers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::rfm::{self, RfmSegment};
use super::segment::{self, UserSegment};
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
    /// Saved segments.
    pub segments: Vec<UserSegment>,
}

impl InsightSettings {
    /// Checks every limit.
    ///
    /// # Errors
    /// The field that breaks its limit.
    pub fn check(&self) -> Result<(), Violation> {
        rfm::check(&self.rfm_segments)?;
        tiers::check(&self.tier_programs)?;
        segment::check(&self.segments, &self.rfm(), &self.tier_programs)
    }

    /// Checks that a saved segment is there, which `field` names.
    ///
    /// # Errors
    /// A violation of `field` that says which there are.
    pub fn check_segment(&self, field: &str, name: &str) -> Result<(), Violation> {
        let known = self.segments.iter().map(|segment| segment.name.as_str());
        segment::one_of(field, "a saved segment", name, known)
    }

    /// The segments by scores that are in force.
    pub fn rfm(&self) -> Cow<'_, [RfmSegment]> {
        match self.rfm_segments.as_slice() {
            [] => Cow::Owned(rfm::usual_segments()),
            own => Cow::Borrowed(own),
        }
    }
}
