//! The rate of requests and of their bytes, by the generic cell rate algorithm (crate `governor`).

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota as Rate};
use serde::{Deserialize, Serialize};

use crate::domain::Violation;

/// Bytes that may always come at once: a frame must never be larger.
const MIN_BURST_BYTES: u32 = 1 << 20;
/// Maximum number of requests per second, and at once.
const MAX_REQUESTS: u32 = 10_000_000;

/// A limit on the rate of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Requests per second; 0: no limit.
    pub requests_per_second: u32,
    /// Requests at once after a pause; 0: as many as `requests_per_second`.
    pub burst: u32,
    /// Bytes of requests per second; 0: no limit.
    pub bytes_per_second: u32,
}

impl Quota {
    /// Checks the ranges; `field` is the path of the quota.
    ///
    /// # Errors
    /// The field and its limit.
    pub fn validate(&self, field: &str) -> Result<(), Violation> {
        let each = [("requests_per_second", self.requests_per_second), ("burst", self.burst)];
        for (name, value) in each {
            if value > MAX_REQUESTS {
                let message = format!("must be 0 to {MAX_REQUESTS}, was {value}");
                return Err(Violation::new(format!("{field}.{name}"), message));
            }
        }

        if self.burst > 0 && self.requests_per_second == 0 {
            let message = format!("must be 0 without requests_per_second, was {}", self.burst);
            return Err(Violation::new(format!("{field}.burst"), message));
        }
        Ok(())
    }
}

/// Counts requests and bytes against a quota.
#[derive(Debug, Default)]
pub struct RateLimiter {
    requests: Option<DefaultDirectRateLimiter>,
    bytes: Option<DefaultDirectRateLimiter>,
}

impl RateLimiter {
    /// A limiter that has let nothing through yet.
    pub fn new(quota: Quota) -> Self {
        let per_second = |rate: u32, burst: u32| {
            let rate = NonZeroU32::new(rate)?;
            let burst = NonZeroU32::new(burst).unwrap_or(rate);
            Some(governor::RateLimiter::direct(Rate::per_second(rate).allow_burst(burst)))
        };
        let bytes = quota.bytes_per_second;
        Self {
            requests: per_second(quota.requests_per_second, quota.burst),
            bytes: per_second(bytes, bytes.max(MIN_BURST_BYTES)),
        }
    }

    /// Lets a request through.
    ///
    /// # Errors
    /// The time after which one more is let through.
    pub fn request(&self) -> Result<(), Duration> {
        take(self.requests.as_ref(), 1)
    }

    /// Lets bytes of a request through.
    ///
    /// # Errors
    /// The time after which as many are let through.
    pub fn bytes(&self, bytes: usize) -> Result<(), Duration> {
        take(self.bytes.as_ref(), u32::try_from(bytes).unwrap_or(u32::MAX))
    }
}

/// Takes `n` cells from a limiter; more than ever fit take as long as the longest wait.
fn take(limiter: Option<&DefaultDirectRateLimiter>, n: u32) -> Result<(), Duration> {
    let (Some(limiter), Some(n)) = (limiter, NonZeroU32::new(n)) else { return Ok(()) };
    match limiter.check_n(n) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(until)) => Err(until.wait_time_from(DefaultClock::default().now())),
        Err(_) => Err(Duration::from_secs(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_lets_its_burst_through_and_then_its_rate() {
        let quota = Quota { requests_per_second: 10, burst: 3, bytes_per_second: 1_000 };
        let limiter = RateLimiter::new(quota);
        (0..3).for_each(|_| limiter.request().unwrap());
        let wait = limiter.request().unwrap_err();
        assert!(wait > Duration::from_millis(50) && wait <= Duration::from_millis(100), "{wait:?}");

        limiter.bytes(1 << 20).unwrap();
        let wait = limiter.bytes(500).unwrap_err();
        assert!(
            wait > Duration::from_millis(400) && wait <= Duration::from_millis(500),
            "{wait:?}"
        );
        limiter.bytes(0).unwrap();
        limiter.bytes(2 << 20).unwrap_err();

        let free = RateLimiter::new(Quota::default());
        (0..10_000).for_each(|_| free.request().unwrap());
        free.bytes(usize::MAX).unwrap();
    }

    #[test]
    fn what_no_quota_can_be_is_refused_by_name() {
        let burst = Quota { burst: 1, ..Quota::default() };
        assert_eq!(burst.validate("quota").unwrap_err().field, "quota.burst");
        let rate = Quota { requests_per_second: u32::MAX, ..Quota::default() };
        assert_eq!(rate.validate("quota").unwrap_err().field, "quota.requests_per_second");
    }
}
