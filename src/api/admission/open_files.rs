//! File descriptors: as many as the process may have, and as many connections as they allow.

use crate::api::admission::connections::Bounds;

/// File descriptors reserved for the process and for each store, where there are enough.
const FILES_OF_THE_PROCESS: u64 = 120;
const FILES_OF_A_STORE: u64 = 8;

/// Reduces the limits on connections to the descriptors that the stores leave, after
/// [`raise_open_files`].
pub fn fit_open_files(bounds: Bounds, stores: usize) -> Bounds {
    let Some(files) = raise_open_files() else { return bounds };
    let of_stores = FILES_OF_A_STORE.saturating_mul(stores as u64);
    let kept = FILES_OF_THE_PROCESS.saturating_add(of_stores).min(files / 2);
    let max = usize::try_from(files - kept).unwrap_or(usize::MAX);
    if max < bounds.max {
        tracing::warn!(files, connections = max, "the limit of open files limits connections");
    }
    let max = bounds.max.min(max);
    // One address may not take all connections.
    let per_address = bounds.per_address.min((max / 2).max(1));
    Bounds { max, per_address, ..bounds }
}

/// Raises the limit of open files as far as the process may, and returns it; none where there is no
/// such limit. Stores need descriptors before connections do.
#[cfg(target_os = "linux")]
pub fn raise_open_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            current
        }
    }
}

/// There is no such limit.
#[cfg(not(target_os = "linux"))]
pub fn raise_open_files() -> Option<u64> {
    None
}
