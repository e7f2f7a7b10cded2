//! The log's events grouped by user, each user's in time order: what every
//! trainer starts from.

use rayon::slice::ParallelSliceMut;

use crate::domain::{HistoryEvent, UserIdx};

/// Events by user.
#[derive(Debug, Clone, Default)]
pub struct UserEvents {
    starts: Vec<usize>,
    events: Vec<HistoryEvent>,
    items: usize,
}

impl UserEvents {
    /// Groups events given in log order; events of the same moment keep it.
    /// `users` and `items` are the sizes of the vocabularies.
    pub fn new(users: usize, items: usize, mut log: Vec<(UserIdx, HistoryEvent)>) -> Self {
        log.par_sort_by_key(|(user, event)| (*user, event.time_ms));
        let mut starts = vec![0; users + 1];
        for (user, _) in &log {
            starts[*user as usize + 1] += 1;
        }
        for user in 0..users {
            starts[user + 1] += starts[user];
        }
        let events = log.into_iter().map(|(_, event)| event).collect();
        Self { starts, events, items }
    }

    /// Number of users in the vocabulary.
    pub fn users(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Number of items in the vocabulary.
    pub fn items(&self) -> usize {
        self.items
    }

    /// A user's events in time order.
    pub fn of(&self, user: usize) -> &[HistoryEvent] {
        &self.events[self.starts[user]..self.starts[user + 1]]
    }

    /// All events, by user and then by time.
    pub fn all(&self) -> &[HistoryEvent] {
        &self.events
    }

    /// Whether all events bear the same time: nothing fades then.
    pub fn is_timeless(&self) -> bool {
        self.events.windows(2).all(|pair| pair[0].time_ms == pair[1].time_ms)
    }

    /// Time of the newest event; 0 where there is none.
    pub fn newest_ms(&self) -> i64 {
        self.events.iter().map(|e| e.time_ms).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventKind;

    #[test]
    fn events_are_grouped_and_ordered() {
        let event = |item, time_ms| HistoryEvent::new(EventKind::View, item, time_ms);
        let log = vec![(2, event(0, 9)), (0, event(1, 5)), (2, event(2, 3)), (2, event(3, 9))];
        let events = UserEvents::new(3, 4, log);
        let items = |user| events.of(user).iter().map(|e| e.item).collect::<Vec<_>>();
        assert_eq!((items(0), items(1), items(2)), (vec![1], vec![], vec![2, 0, 3]));
        assert_eq!(events.newest_ms(), 9);
        assert!(!events.is_timeless());
        assert!(UserEvents::new(1, 2, vec![(0, event(0, 7)), (0, event(1, 7))]).is_timeless());
    }
}
