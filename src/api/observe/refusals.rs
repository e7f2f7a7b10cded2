//! Counts requests that are refused because the server is full or too slow, or the caller may not
//! ask, and logs the counts: an operator must learn of refusals while the server is otherwise healthy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tonic::{Code, Status};

/// Minimum time between two log lines.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Maximum number of reasons that are counted separately between two log lines.
const REASONS: usize = 20;
/// The reason under which all further ones are counted.
const OTHERS: &str = "for other reasons";

/// Requests refused since the last log line, by reason.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<BTreeMap<String, u64>>>);

impl Refusals {
    /// Counts an outcome, if it is such a refusal.
    pub fn note(&self, status: &Status) {
        let is_refusal = matches!(
            status.code(),
            Code::ResourceExhausted
                | Code::DeadlineExceeded
                | Code::Unauthenticated
                | Code::PermissionDenied
        );
        if is_refusal {
            self.count(status.message());
        }
    }

    fn count(&self, reason: &str) {
        // Numbers differ between refusals of one kind, so they are cut out of the reason.
        let mut reason: String =
            reason.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        while reason.contains("##") {
            reason = reason.replace("##", "#");
        }
        let mut counts = self.0.lock();
        let known = counts.len() < REASONS || counts.contains_key(&reason);
        *counts.entry(if known { reason } else { OTHERS.to_owned() }).or_default() += 1;
    }

    /// The refusals since the last call, by reason.
    pub(super) fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.0.lock())
    }

    /// Logs a first refusal soon, and later ones at intervals, as long as it is polled.
    pub async fn report(self) {
        /// Time until a first refusal is logged.
        const SOON: Duration = Duration::from_secs(1);

        loop {
            tokio::time::sleep(SOON).await;
            if self.say() {
                tokio::time::sleep(SAY_EVERY - SOON).await;
            }
        }
    }

    /// Logs the refusals since the last log line; false where there are none.
    pub fn say(&self) -> bool {
        let refused = self.take();
        for (reason, count) in &refused {
            tracing::warn!(count, reason, "requests were refused");
        }
        !refused.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_reason_and_other_answers_are_not() {
        let refusals = Refusals::default();
        let answered = |status: Status| refusals.note(&status);
        answered(Status::resource_exhausted("7 requests are at work already"));
        answered(Status::resource_exhausted("1024 requests are at work already"));
        answered(Status::deadline_exceeded("the deadline passed in the queue"));
        answered(Status::invalid_argument("no"));
        answered(Status::ok(""));
        let counted: Vec<(String, u64)> = refusals.take().into_iter().collect();
        let expected = [
            ("# requests are at work already".to_owned(), 2),
            ("the deadline passed in the queue".to_owned(), 1),
        ];
        assert_eq!(counted, expected);
        assert!(refusals.take().is_empty());

        (0..100u8).for_each(|n| refusals.count(&format!("{}", n as char)));
        let counted = refusals.take();
        assert_eq!((counted.len(), counted.values().sum::<u64>()), (REASONS + 1, 100));
    }
}
