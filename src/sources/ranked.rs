//! Proposals by a ranking that is the same for every user.

use super::scratch::Scratch;
use crate::model::Ranking;

/// Proposes the best `k` of a ranking that may be offered.
pub(super) fn ranked(ranking: &Ranking, k: usize, scratch: &mut Scratch) {
    let Scratch { mask, candidates, .. } = scratch;
    candidates.clear();
    candidates.extend(ranking.iter().filter(|s| mask.allows(s.idx)).take(k));
}
