//! Samples and trims the log for tuning, whose cost must not grow with the store.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::domain::HistoryEvent;
use crate::matrix::UserEvents;

/// Maximum number of pairs of items bought by the same user, summed over users: the cost of a
/// sparse product over the log.
const MAX_PAIRS: u64 = 60_000_000;

/// Maximum number of events in a tuning.
const MAX_EVENTS: usize = 1_500_000;

/// A random sample of the log's users, small enough to tune on; none where the whole log is. Ids do
/// not change.
pub fn sample(events: &UserEvents, seed: u64) -> Option<UserEvents> {
    sample_of(events, MAX_EVENTS, seed)
}

fn sample_of(events: &UserEvents, max: usize, seed: u64) -> Option<UserEvents> {
    let share = max as f64 / events.all().len().max(1) as f64;
    if share >= 1.0 {
        return None;
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let drawn = (0..events.users()).filter(|_| rng.random_bool(share));
    let log = drawn.flat_map(|user| events.of(user).iter().map(move |&e| (user as u32, e)));
    Some(UserEvents::new(events.users(), events.items(), log.collect()))
}

/// The log with only its most-bought items, so that a trial is affordable; none where no item must
/// be removed. Ids do not change.
pub fn trim(events: &UserEvents) -> Option<UserEvents> {
    let mut of_users: Vec<Vec<u32>> = Vec::with_capacity(events.users());
    let mut buyers = vec![0u32; events.items()];
    for user in 0..events.users() {
        let mut items: Vec<u32> = events.of(user).iter().map(|e| e.item).collect();
        items.sort_unstable();
        items.dedup();
        items.iter().for_each(|&item| buyers[item as usize] += 1);
        of_users.push(items);
    }

    let mut by_rank: Vec<u32> = (0..events.items() as u32).collect();
    by_rank.sort_by_key(|&item| (std::cmp::Reverse(buyers[item as usize]), item));
    let mut rank = vec![0u32; events.items()];
    (0u32..).zip(&by_rank).for_each(|(at, &item)| rank[item as usize] = at);
    let pairs = |kept: u32| -> u64 {
        let of_user = |items: &Vec<u32>| {
            let kept = items.iter().filter(|&&item| rank[item as usize] < kept).count() as u64;
            kept * kept
        };
        of_users.iter().map(of_user).sum()
    };

    let all = events.items() as u32;
    if pairs(all) <= MAX_PAIRS {
        return None;
    }

    let mut fits = 0;
    let mut exceeds = all;
    while exceeds - fits > 1 {
        let middle = fits + (exceeds - fits) / 2;
        if pairs(middle) <= MAX_PAIRS { fits = middle } else { exceeds = middle }
    }

    let kept = |e: &&HistoryEvent| rank[e.item as usize] < fits;
    let log = (0..events.users())
        .flat_map(|user| events.of(user).iter().filter(kept).map(move |&e| (user as u32, e)));
    Some(UserEvents::new(events.users(), events.items(), log.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventKind;

    #[test]
    fn a_sample_keeps_users_whole() {
        let event = |time_ms| HistoryEvent::new(EventKind::Purchase, 0, time_ms);
        let log = (0..4_000).map(|n| (n / 4, event(i64::from(n)))).collect();
        let events = UserEvents::new(1_000, 1, log);
        assert!(sample_of(&events, 4_000, 1).is_none());
        let sampled = sample_of(&events, 1_000, 1).unwrap();
        assert!((0..1_000).all(|user| [0, 4].contains(&sampled.of(user).len())));
        assert!((700..1_300).contains(&sampled.all().len()));
    }

    #[test]
    fn the_most_bought_items_stay_until_it_is_affordable() {
        // One user with 10,000 items, of which half have another buyer each.
        let event = |item| HistoryEvent::new(EventKind::Purchase, item, 0);
        let mut log: Vec<_> = (0..10_000).map(|item| (0, event(item))).collect();
        assert!(trim(&UserEvents::new(5_001, 7_000, log[..7_000].to_vec())).is_none());
        log.extend((0..5_000).map(|u| (1 + u, event(2 * u))));
        let trimmed = trim(&UserEvents::new(5_001, 10_000, log)).unwrap();
        let of_first = trimmed.of(0).len() as u64;
        assert!(of_first < 10_000 && (of_first + 1).pow(2) + 5_000 > MAX_PAIRS, "{of_first}");
        assert!((1..=5_000).all(|user| trimmed.of(user).len() == 1));
    }
}
