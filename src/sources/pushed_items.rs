//! Pushed neighbours of the user's items.

use super::candidate::CandidateSource;
use super::linear::linear;
use super::query::Query;
use super::scratch::Scratch;
use crate::model::Snapshot;

pub(super) struct PushedItems;

impl CandidateSource for PushedItems {
    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        // No half-life is known for a model that was trained elsewhere: events fade as for user CF.
        query.profile(query.settings(snapshot).user_cf.weighting.profile(), scratch);
        linear(&snapshot.parts.pushed.items, k, scratch);
    }
}
