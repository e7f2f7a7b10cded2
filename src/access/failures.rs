//! Failed acts: of each key a few in a row go into the audit log, then one a minute with the number
//! of those between, so that a key cannot push older acts out of it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;

/// Failed acts in a row that are recorded.
const IN_A_ROW: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// Time between two records afterwards.
const EVERY: Duration = Duration::from_secs(60);

/// What is recorded of each key's failed acts. Keys have a maximum number, and so have entries.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<String, OfKey>>);

#[derive(Debug)]
struct OfKey {
    rate: DefaultDirectRateLimiter,
    /// Acts since the last record.
    skipped: u64,
}

impl Failures {
    /// Counts a failed act of a key; where it is to be recorded, the number of those that were not.
    pub(super) fn note(&self, key: &str) -> Option<u64> {
        let quota = Quota::with_period(EVERY)?.allow_burst(IN_A_ROW);
        let mut keys = self.0.lock();
        let of_key = keys
            .entry(key.to_owned())
            .or_insert_with(|| OfKey { rate: RateLimiter::direct(quota), skipped: 0 });

        if of_key.rate.check().is_ok() {
            return Some(std::mem::take(&mut of_key.skipped));
        }
        of_key.skipped += 1;
        None
    }
}
