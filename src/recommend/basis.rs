//! What a list is made from.

use super::list::Basis;
use crate::domain::{HistoryEvent, ItemIdx};
use crate::matrix::weight::kind_weight;
use crate::model::Snapshot;
use crate::sources::{Query, Scratch};

/// The basis of a list: [`Basis::Popular`] where the snapshot knows neither the user nor any of
/// their items.
pub(super) fn of(snapshot: &Snapshot, query: &Query<'_>, scratch: &mut Scratch) -> Basis {
    query.events(scratch);
    let parts = &snapshot.parts;
    let is_known = |item: ItemIdx| {
        parts.user_cf.item_norm.get(item as usize).is_some_and(|&n| n > 0.0)
            || parts.pushed.embeddings.has(item)
            || parts.pushed.items.degree(item as usize) > 0
    };
    if query.user.is_some_and(|user| parts.pushed.knows(user)) {
        return Basis::History;
    }

    let is_signal = |e: &HistoryEvent| kind_weight(e.kind) > 0.0 && is_known(e.item);
    if scratch.events.iter().any(is_signal) { own(query, Basis::Popular) } else { Basis::Popular }
}

/// The basis of a list from the user's own events; `otherwise` where there are none.
pub(super) fn own(query: &Query<'_>, otherwise: Basis) -> Basis {
    match (query.history.is_empty(), query.session.is_empty()) {
        (false, _) => Basis::History,
        (true, false) => Basis::Session,
        (true, true) => otherwise,
    }
}
