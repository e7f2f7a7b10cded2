//! The priority of threads whose work may wait.

/// Niceness relative to threads that answer.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 15;

/// Lowers the priority of the calling thread, where the system supports it.
pub fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "background work has the priority of requests");
    }
}
