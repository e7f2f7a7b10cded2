//! What fails again and again, said once.

use std::time::{Duration, Instant};

/// Time within which another reason is not logged: some name times and numbers, and are always others.
const QUIET: Duration = Duration::from_secs(60);

/// Logs once when something begins to fail, at most each minute when it fails for another reason, and once when it
/// ends.
#[derive(Debug)]
pub struct Failing {
    what: &'static str,
    /// The reason that was logged last, and when.
    before: Option<(String, Instant)>,
}

impl Failing {
    /// Something that works so far; `what` says that it fails.
    pub fn new(what: &'static str) -> Self {
        Self { what, before: None }
    }

    /// It fails, for this reason; `store` is empty where it concerns none.
    pub fn again(&mut self, store: &str, reason: String) {
        let is_known = |(before, at): &(String, Instant)| *before == reason || at.elapsed() < QUIET;
        if !self.before.as_ref().is_some_and(is_known) {
            tracing::warn!(store, reason, "{}", self.what);
            self.before = Some((reason, Instant::now()));
        }
    }

    /// It works.
    pub fn ended(&mut self, store: &str) {
        if self.before.take().is_some() {
            tracing::info!(store, "no longer: {}", self.what);
        }
    }
}
