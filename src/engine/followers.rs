//! The followers of a store, as the server that writes it sees them.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

use crate::domain::Offset;

/// Maximum number of followers that are remembered; those that were silent longest leave.
const MAX_FOLLOWERS: usize = 1_000;

/// The followers of a store.
#[derive(Debug)]
pub(super) struct Followers(Mutex<LruCache<u128, Follower>>);

#[derive(Debug, Default)]
struct Follower {
    /// When its lease ends, and where its copy ended when it was granted.
    lease: Option<(Instant, Offset)>,
    /// Number of the last batch of exposures that was recorded.
    recorded: u64,
}

impl Default for Followers {
    fn default() -> Self {
        let most = NonZeroUsize::new(MAX_FOLLOWERS).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(most)))
    }
}

impl Followers {
    /// Notes that a follower whose copy ends at `end` is granted a lease of this length.
    pub(super) fn note_lease(&self, follower: u128, end: Offset, length: Duration) {
        let mut all = self.0.lock();
        let known = all.get_or_insert_mut(follower, Follower::default);
        known.lease = Some((Instant::now() + length, end));
    }

    /// Whether a batch of a follower was recorded already.
    pub(super) fn has_recorded(&self, follower: u128, sequence: u64) -> bool {
        self.0.lock().get(&follower).is_some_and(|known| sequence <= known.recorded)
    }

    /// Notes that a follower's batches up to `sequence` are recorded.
    pub(super) fn note_recorded(&self, follower: u128, sequence: u64) {
        let mut all = self.0.lock();
        let known = all.get_or_insert_mut(follower, Follower::default);
        known.recorded = known.recorded.max(sequence);
    }

    /// Number of followers with a lease, and the least offset that one of them has reached.
    pub(super) fn holding(&self) -> (usize, Option<Offset>) {
        let all = self.0.lock();
        let now = Instant::now();
        let leases = all.iter().filter_map(|(_, follower)| follower.lease);
        let holding = leases.filter(|(until, _)| *until > now).map(|(_, end)| end);
        holding.fold((0, None), |(count, least), end| {
            (count + 1, Some(least.map_or(end, |least: Offset| least.min(end))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_once_and_a_silent_follower_holds_nothing() {
        let followers = Followers::default();
        assert!(!followers.has_recorded(7, 1));
        followers.note_recorded(7, 1);
        assert!(followers.has_recorded(7, 1) && !followers.has_recorded(7, 2));
        assert!(!followers.has_recorded(8, 1));

        assert_eq!(followers.holding(), (0, None));
        let minute = Duration::from_secs(60);
        followers.note_lease(7, 40, minute);
        followers.note_lease(8, 30, minute);
        assert_eq!(followers.holding(), (2, Some(30)));
        followers.note_lease(8, 30, Duration::ZERO);
        assert_eq!(followers.holding(), (1, Some(40)));
        for follower in 100..1_200 {
            followers.note_lease(follower, 50, minute);
        }
        assert_eq!(followers.holding(), (1_000, Some(50)), "bounded");
    }
}
