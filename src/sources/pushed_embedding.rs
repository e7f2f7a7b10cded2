//! Pushed embeddings: score_j = ⟨q, y_j⟩. A pushed user vector is q until the user does something;
//! then they are folded in from their history.

use super::candidate::CandidateSource;
use super::nearest::nearest;
use super::query::Query;
use super::scratch::Scratch;
use crate::model::Snapshot;

pub(super) struct PushedEmbedding;

impl CandidateSource for PushedEmbedding {
    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        // No half-life is known for a model that was trained elsewhere: events fade as for user CF.
        query.profile(query.settings(snapshot).user_cf.weighting.profile(), scratch);
        let pushed = &snapshot.parts.pushed;
        let model = &pushed.embeddings;
        let Scratch { profile, mask, candidates, query: vector, search, .. } = scratch;
        let newest_ms = query.history.last().map_or(0, |event| event.time_ms);
        let nothing_since = query.session.is_empty() && newest_ms <= pushed.trained_until_ms;

        let own = query.user.filter(|_| nothing_since);
        match own.and_then(|user| pushed.user_vectors.of(user, model.dimensions)) {
            Some(own) => {
                vector.clear();
                vector.extend_from_slice(own);
            }
            None => model.user_vector(profile, vector),
        }
        *candidates = nearest(model, vector, k, mask, search);
    }
}
