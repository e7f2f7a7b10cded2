//! Pushed neighbours of the user: score_j = Σ over them, v, of s_v · D_v^-½ · x_vj.

use super::candidate::CandidateSource;
use super::neighbours::propose_of_neighbours;
use super::query::Query;
use super::scratch::Scratch;
use crate::domain::topk::Scored;
use crate::model::Snapshot;

pub(super) struct PushedUsers;

impl CandidateSource for PushedUsers {
    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        let rows = &snapshot.parts.pushed.users;
        let Scratch { candidates, .. } = &mut *scratch;
        candidates.clear();
        if let Some(user) = query.user {
            candidates.extend(rows.pairs(user as usize).map(|(idx, score)| Scored { idx, score }));
        }
        propose_of_neighbours(&snapshot.parts.user_cf.by_user, k, scratch);
    }
}
