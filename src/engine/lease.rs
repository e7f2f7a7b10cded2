//! Until when a follower may answer from what it holds of users. The server that writes grants leases of
//! seconds; a follower that does not hear from it any more cannot know who was erased or objected since.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::domain::Offset;

/// Whether a store follows another, and the lease that it holds.
///
/// A lease is counted from the moment at which the follower asked for it, on the follower's own clock: the
/// grant is made later than that, so that it ends here no later than where it was granted, whatever the
/// clocks of the two say.
#[derive(Debug)]
pub(super) struct Lease {
    /// None in a store that follows no other.
    followed: Option<Followed>,
}

#[derive(Debug)]
struct Followed {
    opened: Instant,
    /// End of the lease, in milliseconds since `opened`.
    until_ms: AtomicU64,
    /// Time of the last grant, in milliseconds since `opened`.
    granted_ms: AtomicU64,
    /// End of the log that is followed, at the last grant.
    end: AtomicU64,
    /// Offset from which on pairs of items are newer than the model that is followed.
    pairs_from: AtomicU64,
}

impl Lease {
    /// The lease of a store that follows another, or none.
    pub(super) fn new(is_follower: bool) -> Self {
        let followed = is_follower.then(|| Followed {
            opened: Instant::now(),
            until_ms: AtomicU64::new(0),
            granted_ms: AtomicU64::new(0),
            end: AtomicU64::new(0),
            pairs_from: AtomicU64::new(Offset::MAX),
        });
        Self { followed }
    }

    /// Whether the store follows another.
    pub(super) fn is_follower(&self) -> bool {
        self.followed.is_some()
    }

    /// Whether users may be answered from what the store holds of them; always where it follows no other.
    pub(super) fn holds(&self) -> bool {
        let holds = |f: &Followed| f.until_ms.load(Ordering::Acquire) > f.now_ms();
        self.followed.as_ref().is_none_or(holds)
    }

    /// Extends the lease by `length` from the moment at which it was asked for; the log that is followed ended
    /// at `end` then.
    pub(super) fn extend(&self, asked: Instant, length: Duration, end: Offset) {
        let Some(followed) = &self.followed else { return };
        let asked_ms = followed.ms(asked);
        let until = asked_ms.saturating_add(length.as_millis() as u64);
        followed.end.fetch_max(end, Ordering::Release);
        followed.granted_ms.fetch_max(asked_ms, Ordering::Release);
        followed.until_ms.fetch_max(until, Ordering::Release);
    }

    /// Whether a lease was ever granted since the store was opened.
    pub(super) fn was_granted(&self) -> bool {
        let was = |f: &Followed| f.until_ms.load(Ordering::Acquire) > 0;
        self.followed.as_ref().is_some_and(was)
    }

    /// Notes that a model is followed that was trained on the log before `offset`.
    pub(super) fn note_model(&self, offset: Offset) {
        if let Some(followed) = &self.followed {
            followed.pairs_from.fetch_min(offset, Ordering::Release);
        }
    }

    /// Whether a record at `offset` is newer than a model that is followed.
    pub(super) fn notes_pairs(&self, offset: Offset) -> bool {
        let notes = |f: &Followed| offset >= f.pairs_from.load(Ordering::Acquire);
        self.followed.as_ref().is_some_and(notes)
    }

    /// Time since the last grant, or since the store was opened; none where it follows no other.
    pub(super) fn age(&self) -> Option<Duration> {
        let age = |f: &Followed| f.now_ms().saturating_sub(f.granted_ms.load(Ordering::Acquire));
        self.followed.as_ref().map(age).map(Duration::from_millis)
    }

    /// End of the log that is followed, as far as it is known.
    pub(super) fn followed_end(&self) -> Offset {
        self.followed.as_ref().map_or(0, |followed| followed.end.load(Ordering::Acquire))
    }
}

impl Followed {
    fn now_ms(&self) -> u64 {
        self.ms(Instant::now())
    }

    fn ms(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.opened).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_from_when_it_was_asked_for_and_is_never_shortened() {
        let lease = Lease::new(true);
        assert!(!lease.holds(), "nothing was granted yet");
        std::thread::sleep(Duration::from_millis(30));
        let asked = Instant::now() - Duration::from_millis(20);
        lease.extend(asked, Duration::from_millis(10), 5);
        assert!(!lease.holds(), "it ended while the answer was on its way");
        lease.extend(asked, Duration::from_secs(60), 7);
        lease.extend(asked, Duration::from_millis(1), 6);
        assert!(lease.holds());
        assert_eq!(lease.followed_end(), 7);
        assert!(lease.age().unwrap() >= Duration::from_millis(20));

        assert!(!lease.notes_pairs(10));
        lease.note_model(10);
        assert!(lease.notes_pairs(10) && !lease.notes_pairs(9));
        let own = Lease::new(false);
        assert!(own.holds() && !own.is_follower() && own.age().is_none());
    }
}
