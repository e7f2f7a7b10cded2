//! The memory that the store may take: once the process holds more, nothing is written that would
//! grow it; lists, erasures and the models go on.

use std::time::{Duration, Instant};

use crate::store::memory;

/// How long a look at the system is good for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What the process may hold of the memory there is, where no limit is set.
const SHARE: f64 = 0.85;

/// A limit, and what the process held a moment ago.
#[derive(Debug)]
pub(super) struct Budget {
    most: Option<u64>,
    held: u64,
    looked: Option<Instant>,
}

impl Budget {
    /// Of `mib` MiB; 0: most of the memory that there is.
    pub(super) fn new(mib: u64) -> Self {
        let share = || memory::available().map(|bytes| (bytes as f64 * SHARE) as u64);
        let most = if mib == 0 { share() } else { Some(mib << 20) };
        Self { most, held: 0, looked: None }
    }

    /// Why nothing more may be taken in; none while it may.
    pub(super) fn check(&mut self) -> Option<String> {
        let most = self.most?;
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.held = memory::resident()?;
            self.looked = Some(Instant::now());
        }

        (self.held > most).then(|| {
            let mib = |bytes: u64| bytes >> 20;
            format!(
                "the server holds {} MiB of memory and may hold {} (limits.memory_mib); it takes \
                 nothing more until it holds less",
                mib(self.held),
                mib(most)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_over_the_limit_is_said() {
        assert_eq!(Budget::new(0).check(), None);
        let said = Budget::new(1).check().unwrap();
        assert!(said.contains("may hold 1 (limits.memory_mib)"), "{said}");
    }
}
