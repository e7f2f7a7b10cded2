//! Memory of the process, and of the machine, as the system reports it.

use std::fs;

/// Share of the memory available to it that the process may hold where no limit is set.
pub const SHARE: f64 = 0.85;

/// Resident memory of this process in bytes; none where the system does not report it.
pub fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    kib_of(&status, "VmRSS:")
}

/// Memory available to this process in bytes: the machine's, or its control group's if that is
/// less; none where the system does not report it.
pub fn available() -> Option<u64> {
    let machine = kib_of(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    // "max" where there is no limit.
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    Some(group.map_or(machine, |group: u64| machine.min(group)))
}

/// Memory in bytes that a training may take now: `mib` MiB; 0: what the process does not hold yet of
/// [`SHARE`] of what is available to it. None where the system does not report it.
pub fn left_for_training(mib: u64) -> Option<u64> {
    if mib > 0 {
        return Some(mib << 20);
    }
    let share = (available()? as f64 * SHARE) as u64;
    Some(share.saturating_sub(resident()?))
}

/// The value of a name in a table of the kernel, in bytes.
fn kib_of(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(kib_of("VmSize:\t 9 kB\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2 << 20));
        assert_eq!(kib_of("", "VmRSS:"), None);
        if cfg!(target_os = "linux") {
            assert!(resident().unwrap() > 1 << 20 && available().unwrap() > resident().unwrap());
        }
    }
}
