//! Unknown keys, by the address that tries them: a few are answered at once, further ones after a
//! pause, and no more than some wait at a time.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;

use super::usage::{Counted, Entered, Usage};

/// Attempts answered at once after a pause.
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
/// Attempts answered at once per second.
const PER_SECOND: NonZeroU32 = NonZeroU32::MIN;
/// How long an answer waits beyond that.
const PAUSE: Duration = Duration::from_secs(1);
/// Attempts of all addresses whose answers may wait: fewer than the requests of one connection, so that
/// other callers behind the same proxy find room.
const MAX_WAITING: usize = 64;
/// Addresses that are remembered before those that have paused are forgotten.
const MAX_ADDRESSES: usize = 100_000;
/// Minimum time between two log lines.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What becomes of an attempt with an unknown key.
#[derive(Debug)]
pub enum Attempt {
    /// It is answered at once.
    Now,
    /// It is answered after a pause, for which the guard is held.
    After(Duration, Entered),
    /// There were too many: it may come back after this time.
    TooMany(Duration),
}

/// Counts attempts with unknown keys.
#[derive(Debug)]
pub struct Attempts {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    waiting: Arc<Usage>,
    log: Mutex<LogLine>,
}

#[derive(Debug, Default)]
struct LogLine {
    /// Attempts since the last line.
    count: u64,
    said: Option<Instant>,
}

impl Default for Attempts {
    fn default() -> Self {
        let quota = Quota::per_second(PER_SECOND).allow_burst(BURST);
        Self {
            by_address: RateLimiter::hashmap(quota),
            waiting: Arc::default(),
            log: Mutex::default(),
        }
    }
}

impl Attempts {
    /// Counts one from `address`, and decides when it is answered.
    pub fn note(&self, address: IpAddr) -> Attempt {
        self.say(address);
        if self.by_address.len() >= MAX_ADDRESSES {
            self.by_address.retain_recent();
        }
        if self.by_address.len() >= MAX_ADDRESSES {
            return Attempt::TooMany(PAUSE);
        }

        match self.by_address.check_key(&address) {
            Ok(()) => Attempt::Now,
            Err(until) => match self.waiting.enter(Counted::Requests, MAX_WAITING) {
                Some(place) => Attempt::After(PAUSE, place),
                None => Attempt::TooMany(until.wait_time_from(DefaultClock::default().now())),
            },
        }
    }

    /// Logs attempts at intervals; the line does not contain what was tried.
    fn say(&self, address: IpAddr) {
        let mut log = self.log.lock();
        log.count += 1;
        if log.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            tracing::warn!(attempts = log.count, %address, "unknown keys were refused");
            *log = LogLine { count: 0, said: Some(Instant::now()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_answered_at_once_and_more_wait_and_others_are_not_slowed_down() {
        let attempts = Attempts::default();
        let address = IpAddr::from([127, 0, 0, 1]);
        for _ in 0..BURST.get() {
            assert!(matches!(attempts.note(address), Attempt::Now));
        }

        let waiting: Vec<Attempt> = (0..MAX_WAITING).map(|_| attempts.note(address)).collect();
        let wait = waiting.iter().filter(|attempt| matches!(attempt, Attempt::After(..))).count();
        assert!(wait >= MAX_WAITING - 1, "{wait}");
        attempts.note(address);
        assert!(matches!(attempts.note(address), Attempt::TooMany(_)));
        assert!(matches!(attempts.note(IpAddr::from([127, 0, 0, 2])), Attempt::Now));
    }
}
