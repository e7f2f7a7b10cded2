//! The log's events grouped by user, each user's in time order: the input of every trainer.

use rayon::prelude::*;

use crate::domain::{DAY_MS, EventKind, HistoryEvent, ItemIdx, UserIdx};

/// Number of active users (or a tenth of all, if fewer) that determines the reference time of a log.
const TARGET_USERS: usize = 20;
/// Length of the quiet period before the newest event that makes this rule apply.
const QUIET_MS: i64 = 7 * DAY_MS;

/// Share of events followed by one of the same item above which a log counts as sorted by item.
const SORTED: f64 = 0.5;

/// Events by user.
#[derive(Debug, Clone, Default)]
pub struct UserEvents {
    starts: Vec<usize>,
    events: Vec<HistoryEvent>,
    items: usize,
}

impl UserEvents {
    /// Groups events given in log order; events of the same moment keep it. `users` and `items` are
    /// the sizes of the vocabularies.
    pub fn new(users: usize, items: usize, log: Vec<(UserIdx, HistoryEvent)>) -> Self {
        let mut starts = vec![0; users + 1];
        for (user, _) in &log {
            starts[*user as usize + 1] += 1;
        }
        for user in 0..users {
            starts[user + 1] += starts[user];
        }

        let mut next = starts.clone();
        let mut events = vec![HistoryEvent::new(EventKind::View, 0, 0); log.len()];
        for (user, event) in log {
            events[next[user as usize]] = event;
            next[user as usize] += 1;
        }

        let mut of_users = Vec::with_capacity(users);
        let mut rest = &mut events[..];
        for user in 0..users {
            let (of_user, after) = rest.split_at_mut(starts[user + 1] - starts[user]);
            of_users.push(of_user);
            rest = after;
        }
        of_users.par_iter_mut().for_each(|of_user| of_user.sort_by_key(|event| event.time_ms));
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

    /// Whether times order the events. They do not where all are equal, nor where the log was
    /// sorted by item when it got its times: then consecutive events of different users have the
    /// same item far more often than by chance.
    pub fn is_ordered(&self) -> bool {
        let of_user = |user| self.of(user).iter().map(move |e| (e.time_ms, e.item, user));
        let mut by_time: Vec<(i64, ItemIdx, usize)> = (0..self.users()).flat_map(of_user).collect();
        by_time.par_sort_by_key(|&(time_ms, ..)| time_ms);
        let differ = by_time.windows(2).any(|pair| pair[0].0 != pair[1].0);

        // A user who views and then buys an item follows themselves.
        let others = by_time.windows(2).filter(|pair| pair[0].2 != pair[1].2);
        let (pairs, same) = others.fold((0u64, 0u64), |(pairs, same), pair| {
            (pairs + 1, same + u64::from(pair[0].1 == pair[1].1))
        });
        let share = same as f64 / pairs.max(1) as f64;

        let mut counts = vec![0u32; self.items];
        self.events.iter().for_each(|e| counts[e.item as usize] += 1);
        let shares = counts.iter().map(|&n| f64::from(n) / self.events.len().max(1) as f64);
        let chance: f64 = shares.map(|share| share * share).sum();
        differ && !(share > SORTED && share > 3.0 * chance)
    }

    /// The time as of which the events are looked at: that of the newest event; 0 without events.
    /// Where hardly any user was active in the week before it, the time by which enough users were:
    /// a single late event must not make all others old.
    pub fn as_of_ms(&self) -> i64 {
        let last = |user| self.of(user).last().map(|e| e.time_ms);
        let mut last_ms: Vec<i64> = (0..self.users()).filter_map(last).collect();
        last_ms.sort_unstable_by_key(|&ms| std::cmp::Reverse(ms));

        let enough = (last_ms.len() / 10).clamp(1, TARGET_USERS);
        let Some((&newest, &by_enough)) = last_ms.first().zip(last_ms.get(enough - 1)) else {
            return 0;
        };
        if newest - by_enough <= QUIET_MS { newest } else { by_enough }
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
        assert_eq!(events.as_of_ms(), 9);
        assert_eq!(UserEvents::default().as_of_ms(), 0);
        assert!(events.is_ordered());
        assert!(!UserEvents::new(1, 2, vec![(0, event(0, 7)), (0, event(1, 7))]).is_ordered());
    }

    #[test]
    fn one_event_of_today_does_not_make_all_others_old() {
        let event = |day: i64| HistoryEvent::new(EventKind::View, 0, day * DAY_MS);
        let mut log: Vec<_> = (0..50).map(|user| (user, event(i64::from(user) % 5))).collect();
        let as_of = |log: &[(UserIdx, HistoryEvent)]| {
            UserEvents::new(60, 1, log.to_vec()).as_of_ms() / DAY_MS
        };
        assert_eq!(as_of(&log), 4);
        log.push((50, event(5_000)));
        assert_eq!(as_of(&log), 4);
        log.extend((51..54).map(|user| (user, event(5_000))));
        assert_eq!(as_of(&log), 4);
        log.extend((54..60).map(|user| (user, event(4_999))));
        assert_eq!(as_of(&log), 5_000, "enough were there");
    }

    #[test]
    fn times_that_follow_the_items_are_no_order() {
        // Forty users with ten of fifty items each.
        let item = |user: u32, row: u32| (user * 3 + row * 7) % 50;
        let row =
            |n: u32| (n % 40, HistoryEvent::new(EventKind::Purchase, item(n % 40, n / 40), 0));
        let mut log: Vec<_> = (0..400).map(row).collect();
        let at = |log: &mut Vec<(UserIdx, HistoryEvent)>| {
            (0..).zip(log.iter_mut()).for_each(|(n, (_, event))| event.time_ms = n * 60_000);
            UserEvents::new(40, 50, log.clone()).is_ordered()
        };
        assert!(at(&mut log));
        log.sort_by_key(|(_, event)| event.item);
        assert!(!at(&mut log));
        log.sort_by_key(|(user, _)| *user);
        assert!(at(&mut log), "user by user is an order within each");
    }
}
