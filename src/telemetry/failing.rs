//! What fails again and again, said once.

/// Logs once when something begins to fail, or fails for another reason, and once when it ends.
#[derive(Debug)]
pub struct Failing {
    what: &'static str,
    before: Option<String>,
}

impl Failing {
    /// Something that works so far; `what` says that it fails.
    pub fn new(what: &'static str) -> Self {
        Self { what, before: None }
    }

    /// It fails, for this reason; `store` is empty where it concerns none.
    pub fn again(&mut self, store: &str, reason: String) {
        if self.before.as_ref() != Some(&reason) {
            tracing::warn!(store, reason, "{}", self.what);
            self.before = Some(reason);
        }
    }

    /// It works.
    pub fn ended(&mut self, store: &str) {
        if self.before.take().is_some() {
            tracing::info!(store, "no longer: {}", self.what);
        }
    }
}
