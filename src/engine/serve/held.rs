//! Finds out whether a user has a list that was made before it is asked for.

use std::sync::Arc;

use super::query::Recommender;
use crate::domain::{UserIdx, now_ms};
use crate::engine::active_lists::ActiveList;
use crate::model::Snapshot;

/// A list that holds: the snapshot's own, unless it is an active user's.
pub(super) struct Held {
    /// The active user's.
    pub active: Option<Arc<ActiveList>>,
}

impl Recommender {
    /// The user's list that holds for what they did until now; notes the request.
    pub(super) fn held(&self, snapshot: &Snapshot, user: UserIdx) -> Option<Held> {
        let lists = self.state.active_lists.as_ref();
        let active = lists.and_then(|lists| lists.of(user));
        let generation = snapshot.manifest.generation;
        let (is_prepared, active) = self.state.live.history(user, |history| {
            let is_prepared = snapshot.parts.prepared.list(user, history).is_some();
            (is_prepared, active.filter(|list| list.holds(generation, history, now_ms())))
        });

        // Lists are made from the model that answers most users.
        let found = is_prepared || active.is_some();
        if generation == self.state.models.generation()
            && let Some(lists) = lists
        {
            lists.note_request(user, found);
        }
        found.then_some(Held { active })
    }
}
