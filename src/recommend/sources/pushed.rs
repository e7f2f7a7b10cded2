//! What was trained elsewhere. Of a shopper who came with a vector, that holds until they
//! do something; then they fold in from their history like everybody else.

use super::collaborative::{linear, nearest, of_neighbours};
use crate::domain::topk::Scored;
use crate::model::{Snapshot, Source};
use crate::recommend::{Query, Scratch};

/// Runs one pushed source on the shopper's row in `scratch.profile`.
pub(super) fn propose(
    snapshot: &Snapshot,
    source: Source,
    query: &Query<'_>,
    k: usize,
    scratch: &mut Scratch,
) {
    match source {
        Source::PushedItems => linear(&snapshot.parts.pushed.items, k, scratch),
        Source::PushedUsers => users(snapshot, query, k, scratch),
        _ => embedding(snapshot, query, k, scratch),
    }
}

/// score_j = ⟨q, y_j⟩ with q pushed, or folded in from the profile.
fn embedding(snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
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
    *candidates = nearest(model, vector, k, query.shelf.items, mask, search);
}

/// score_j = Σ over the shopper's pushed neighbours v of s_v · D_v^-½ · x_vj.
fn users(snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
    let rows = &snapshot.parts.pushed.users;
    let Scratch { candidates, .. } = &mut *scratch;
    candidates.clear();
    if let Some(user) = query.user {
        candidates.extend(rows.pairs(user as usize).map(|(idx, score)| Scored { idx, score }));
    }
    of_neighbours(&snapshot.parts.user_cf.by_user, k, scratch);
}
