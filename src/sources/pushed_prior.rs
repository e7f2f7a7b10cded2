//! Pushed scores of items, the same for every user.

use super::candidate::CandidateSource;
use super::query::Query;
use super::ranked::ranked;
use super::scratch::Scratch;
use crate::model::Snapshot;

pub(super) struct PushedPrior;

impl CandidateSource for PushedPrior {
    fn propose(&self, snapshot: &Snapshot, _: &Query<'_>, k: usize, scratch: &mut Scratch) {
        ranked(&snapshot.parts.pushed.priors, k, scratch);
    }
}
