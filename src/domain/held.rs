//! A lease, as the one who holds it sees it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A lease that is held, or not. It counts from the moment at which it was asked for, on the holder's own
/// clock: it is granted later than that, so that it ends here no later than where it was granted, whatever the
/// clocks of the two say.
#[derive(Debug)]
pub struct Held {
    since: Instant,
    /// Its end, in milliseconds since `since`.
    until_ms: AtomicU64,
}

impl Default for Held {
    fn default() -> Self {
        Self { since: Instant::now(), until_ms: AtomicU64::new(0) }
    }
}

impl Held {
    /// Whether it holds now.
    pub fn holds(&self) -> bool {
        self.until_ms.load(Ordering::Acquire) > self.ms(Instant::now())
    }

    /// Extends it to `length` after the moment at which that was asked for; it is never shortened.
    pub fn extend(&self, asked: Instant, length: Duration) {
        let until = self.ms(asked).saturating_add(length.as_millis() as u64);
        self.until_ms.fetch_max(until, Ordering::Release);
    }

    /// Ends it now.
    pub fn end(&self) {
        self.until_ms.store(0, Ordering::Release);
    }

    /// Whether it was ever held.
    pub fn was_held(&self) -> bool {
        self.until_ms.load(Ordering::Acquire) > 0
    }

    /// A moment in milliseconds since this was made.
    pub fn ms(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.since).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_when_it_was_asked_for_and_is_never_shortened() {
        let held = Held::default();
        assert!(!held.holds() && !held.was_held());
        std::thread::sleep(Duration::from_millis(30));
        let asked = Instant::now() - Duration::from_millis(20);
        held.extend(asked, Duration::from_millis(10));
        assert!(!held.holds() && held.was_held(), "it ended while the answer was on its way");
        held.extend(asked, Duration::from_secs(60));
        held.extend(asked, Duration::from_millis(1));
        assert!(held.holds());
        held.end();
        assert!(!held.holds());
    }
}
