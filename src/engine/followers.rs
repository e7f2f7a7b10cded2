//! The followers of a store, as the server that writes it sees them.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;

/// Maximum number of followers that are remembered; those that were silent longest leave.
const MAX_FOLLOWERS: usize = 1_000;

/// The followers of a store.
#[derive(Debug)]
pub(super) struct Followers(Mutex<LruCache<u128, Follower>>);

#[derive(Debug, Default)]
struct Follower {
    /// When its lease ends, and the number of records that it lacked when that was granted.
    lease: Option<(Instant, u64)>,
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
    /// Notes that a follower is granted a lease of this length, and how many records it lacks.
    pub(super) fn note_lease(&self, follower: u128, lacking: u64, length: Duration) {
        let mut all = self.0.lock();
        let known = all.get_or_insert_mut(follower, Follower::default);
        known.lease = Some((Instant::now() + length, lacking));
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

    /// Number of followers with a lease, and the number of records that the slowest of them lacked.
    pub(super) fn holding(&self) -> (usize, u64) {
        let all = self.0.lock();
        let now = Instant::now();
        let leases = all.iter().filter_map(|(_, follower)| follower.lease);
        let holding = leases.filter(|(until, _)| *until > now).map(|(_, lacking)| lacking);
        holding.fold((0, 0), |(count, most), lacking| (count + 1, most.max(lacking)))
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

        assert_eq!(followers.holding(), (0, 0));
        let minute = Duration::from_secs(60);
        followers.note_lease(7, 40, minute);
        followers.note_lease(8, 30, minute);
        assert_eq!(followers.holding(), (2, 40));
        followers.note_lease(7, 40, Duration::ZERO);
        assert_eq!(followers.holding(), (1, 30));
        for follower in 100..1_200 {
            followers.note_lease(follower, 50, minute);
        }
        assert_eq!(followers.holding(), (1_000, 50), "bounded");
    }
}
