//! Until when a follower may answer from what it holds of users. The server that writes grants leases of
//! seconds; a follower that does not hear from it any more cannot know who was erased or objected since.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::domain::{Held, Offset};

/// Whether a store follows another, and the lease that it holds.
#[derive(Debug)]
pub(super) struct Lease {
    /// None in a store that follows no other.
    followed: Option<Followed>,
    /// The lease to write of a server that shares an object store: without it, another may write.
    writing: Option<Arc<Held>>,
}

#[derive(Debug)]
struct Followed {
    held: Held,
    /// Time of the last grant, in milliseconds of the lease.
    granted_ms: AtomicU64,
    /// End of the log that is followed, at the last grant.
    end: AtomicU64,
    /// Offset from which on pairs of items are newer than the model that is followed.
    pairs_from: AtomicU64,
}

impl Lease {
    /// The lease of a store that follows another, or none.
    pub(super) fn new(is_follower: bool, writing: Option<Arc<Held>>) -> Self {
        let followed = is_follower.then(|| Followed {
            held: Held::default(),
            granted_ms: AtomicU64::new(0),
            end: AtomicU64::new(0),
            pairs_from: AtomicU64::new(Offset::MAX),
        });
        Self { followed, writing }
    }

    /// Whether the store follows another.
    pub(super) fn is_follower(&self) -> bool {
        self.followed.is_some()
    }

    /// Whether users may be answered from what the store holds of them; always where no other server can know
    /// more.
    pub(super) fn holds(&self) -> bool {
        let holds_writing = self.writing.as_ref().is_none_or(|held| held.holds());
        holds_writing && self.followed.as_ref().is_none_or(|followed| followed.held.holds())
    }

    /// Extends the lease by `length` from the moment at which it was asked for; the log that is followed ended
    /// at `end` then.
    pub(super) fn extend(&self, asked: Instant, length: Duration, end: Offset) {
        let Some(followed) = &self.followed else { return };
        followed.end.fetch_max(end, Ordering::Release);
        followed.granted_ms.fetch_max(followed.held.ms(asked), Ordering::Release);
        followed.held.extend(asked, length);
    }

    /// Whether a lease was ever granted since the store was opened.
    pub(super) fn was_granted(&self) -> bool {
        self.followed.as_ref().is_some_and(|followed| followed.held.was_held())
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
        let now_ms = |f: &Followed| f.held.ms(Instant::now());
        let age = |f: &Followed| now_ms(f).saturating_sub(f.granted_ms.load(Ordering::Acquire));
        self.followed.as_ref().map(age).map(Duration::from_millis)
    }

    /// End of the log that is followed, as far as it is known.
    pub(super) fn followed_end(&self) -> Offset {
        self.followed.as_ref().map_or(0, |followed| followed.end.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_knows_what_it_was_granted_and_others_hold_always() {
        let lease = Lease::new(true, None);
        assert!(!lease.holds() && !lease.was_granted(), "nothing was granted yet");
        std::thread::sleep(Duration::from_millis(30));
        let asked = Instant::now() - Duration::from_millis(20);
        lease.extend(asked, Duration::from_secs(60), 7);
        lease.extend(asked, Duration::from_millis(1), 6);
        assert!(lease.holds() && lease.was_granted());
        assert_eq!(lease.followed_end(), 7);
        assert!(lease.age().unwrap() >= Duration::from_millis(20));

        assert!(!lease.notes_pairs(10));
        lease.note_model(10);
        assert!(lease.notes_pairs(10) && !lease.notes_pairs(9));
        let own = Lease::new(false, None);
        assert!(own.holds() && !own.is_follower() && own.age().is_none());
        let cut_off = Lease::new(false, Some(Arc::default()));
        assert!(!cut_off.holds(), "another may write");
    }
}
