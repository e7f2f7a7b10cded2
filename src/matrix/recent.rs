//! The items that a user dealt with last: what they may come back to. Computed alike in training and in
//! a request.

use super::weight::kind_weight;
use crate::domain::history::is_one_step;
use crate::domain::{HistoryEvent, ItemIdx};

/// A pause longer than this, in milliseconds, begins a new visit: six hours.
pub const PAUSE_MS: i64 = 6 * 3_600 * 1_000;
/// Maximum number of items.
pub const MOST: usize = 50;
/// Events further back than this are not looked at.
const REACH: usize = 200;

/// An item that the user dealt with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recent {
    /// The item.
    pub item: ItemIdx,
    /// The number of other items that they dealt with later, below [`MOST`].
    pub rank: usize,
    /// Number of events on it.
    pub count: u32,
    /// The weight of the kind of its strongest event.
    pub strength: f32,
    /// Whether the last event on it belongs to the running visit.
    pub is_current: bool,
}

impl Recent {
    /// Number of classes.
    pub const CLASSES: usize = 3 * 3 * 2;

    /// Its class: once, twice, or more often; viewed, wanted, or bought; in this visit, or earlier.
    pub fn class(&self) -> usize {
        let often = (self.count.clamp(1, 3) - 1) as usize;
        let strong = usize::from(self.strength > 0.3) + usize::from(self.strength > 0.9);
        (often * 3 + strong) * 2 + usize::from(self.is_current)
    }
}

/// Writes the items of a user's last events before `now_ms` into `recent`, the last first. `events` are
/// oldest first; those of `now_ms` are items of the running session.
pub fn recent_items(events: &[HistoryEvent], now_ms: i64, recent: &mut Vec<Recent>) {
    recent.clear();
    let mut is_current = true;
    let mut rank = 0;
    let mut later: Option<&HistoryEvent> = None;
    let speaking = events.iter().rev().filter(|e| kind_weight(e.kind) > 0.0);

    for event in speaking.take(REACH) {
        let since = later.map_or(now_ms, |later| later.time_ms) - event.time_ms;
        is_current &= since <= PAUSE_MS;
        if later.is_some_and(|later| !is_one_step(event, later, now_ms)) {
            rank = recent.len();
        }
        later = Some(event);

        let strength = kind_weight(event.kind);
        if let Some(known) = recent.iter_mut().find(|known| known.item == event.item) {
            known.count += 1;
            known.strength = known.strength.max(strength);
        } else if recent.len() < MOST {
            recent.push(Recent { item: event.item, rank, count: 1, strength, is_current });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DAY_MS, EventKind};

    fn ranks(events: &[HistoryEvent], now_ms: i64) -> Vec<(ItemIdx, usize, u32, bool)> {
        let mut recent = Vec::new();
        recent_items(events, now_ms, &mut recent);
        recent.iter().map(|of| (of.item, of.rank, of.count, of.is_current)).collect()
    }

    #[test]
    fn the_last_come_first_and_a_pause_ends_the_visit() {
        let now_ms = 10 * DAY_MS;
        let view = |item, before_ms| HistoryEvent::new(EventKind::View, item, now_ms - before_ms);
        let events = [view(3, DAY_MS), view(1, 3_000), view(2, 2_000), view(1, 1_000)];
        assert_eq!(ranks(&events, now_ms), [(1, 0, 2, true), (2, 1, 1, true), (3, 2, 1, false)]);
        assert_eq!(ranks(&events, now_ms + DAY_MS)[0], (1, 0, 2, false));
    }

    #[test]
    fn items_of_one_moment_rank_alike_but_not_those_of_the_session() {
        let view = |item, time_ms| HistoryEvent::new(EventKind::View, item, time_ms);
        let events = [view(1, 0), view(2, 5), view(3, 5)];
        let of = |now_ms| ranks(&events, now_ms).iter().map(|of| of.1).collect::<Vec<_>>();
        assert_eq!(of(9), [0, 0, 2]);
        assert_eq!(of(5), [0, 1, 2]);
    }

    #[test]
    fn classes_tell_how_often_and_how_strongly() {
        let class = |count, kind, is_current| {
            let strength = kind_weight(kind);
            Recent { item: 0, rank: 0, count, strength, is_current }.class()
        };
        let kinds = [EventKind::View, EventKind::AddToCart, EventKind::Purchase];
        let counts = [1, 2, 9];
        let mut all: Vec<usize> = counts
            .iter()
            .flat_map(|&count| kinds.iter().map(move |&kind| (count, kind)))
            .flat_map(|(count, kind)| [false, true].map(|current| class(count, kind, current)))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..Recent::CLASSES).collect::<Vec<_>>());
    }
}
