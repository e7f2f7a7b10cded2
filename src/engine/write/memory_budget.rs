//! The memory budget of the process, and of a store: beyond it, writes that would grow the store
//! are refused; lists, erasures and models are still served.

use std::time::{Duration, Instant};

use crate::engine::options::StoreLimits;
use crate::engine::state::State;
use crate::store::memory;

/// Time between two measurements.
const MEASURE_EVERY: Duration = Duration::from_millis(500);

/// A limit in bytes, and the last measurement.
#[derive(Debug)]
pub(in crate::engine) struct MemoryBudget {
    max: Option<u64>,
    held: u64,
    measured: Option<Instant>,
}

impl MemoryBudget {
    /// A budget of `mib` MiB; 0: 85 % of the machine's memory.
    pub(in crate::engine) fn new(mib: u64) -> Self {
        let share = || memory::available().map(|bytes| (bytes as f64 * memory::SHARE) as u64);
        let max = if mib == 0 { share() } else { Some(mib << 20) };
        Self { max, held: 0, measured: None }
    }

    /// The reason why writes are refused; none while they are accepted.
    pub(super) fn check(&mut self) -> Option<String> {
        let max = self.max?;
        if self.measured.is_none_or(|measured| measured.elapsed() >= MEASURE_EVERY) {
            self.held = memory::resident()?;
            self.measured = Some(Instant::now());
        }

        (self.held > max).then(|| {
            let mib = |bytes: u64| bytes >> 20;
            format!(
                "the server holds {} MiB of memory and may hold {} (limits.memory_mib); writes \
                 that grow the store are refused until it holds less",
                mib(self.held),
                mib(max)
            )
        })
    }
}

/// The reason why a store with these limits is full; none while it is not.
pub(super) fn check_store(state: &State, limits: StoreLimits) -> Option<String> {
    if limits.memory_mib == 0 {
        return None;
    }
    let held = state.memory_bytes() >> 20;
    (held >= limits.memory_mib).then(|| {
        format!(
            "the store holds some {held} MiB of memory and may hold {} (memory_mib of its limits); \
             writes that grow it are refused until it holds less",
            limits.memory_mib
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_over_the_limit_is_said() {
        assert_eq!(MemoryBudget::new(0).check(), None);
        let said = MemoryBudget::new(1).check().unwrap();
        assert!(said.contains("may hold 1 (limits.memory_mib)"), "{said}");
    }
}
