//! The request log: a line for every request that failed or was slow, and for a sample of the
//! others. It names no user and no item.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::end::End;
use super::server_metrics::method_name;
use crate::api::access::audited::code_name;
use crate::telemetry::RequestRecord;
use crate::telemetry::record::Facts;

/// `[logging.requests]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestLogOptions {
    /// Whether there is a request log at all.
    pub enabled: bool,
    /// Share of the requests that are logged although they are fast and succeed, 0 to 1.
    pub sample: f64,
    /// Milliseconds from which on a request is slow, and logged; streams are never slow.
    pub slow_ms: u64,
    /// Maximum number of lines a second; further ones are counted.
    pub max_per_second: u64,
}

impl Default for RequestLogOptions {
    fn default() -> Self {
        Self { enabled: true, sample: 0.0, slow_ms: 250, max_per_second: 100 }
    }
}

/// Writes lines of requests.
#[derive(Debug)]
pub struct RequestLog {
    options: ArcSwap<RequestLogOptions>,
    /// Requests seen, for the sample.
    seen: AtomicU64,
    second: Mutex<Second>,
}

/// The lines of the running second.
#[derive(Debug)]
struct Second {
    began: Instant,
    lines: u64,
    left_out: u64,
}

impl Default for RequestLog {
    fn default() -> Self {
        let second = Second { began: Instant::now(), lines: 0, left_out: 0 };
        Self { options: ArcSwap::default(), seen: AtomicU64::new(0), second: Mutex::new(second) }
    }
}

impl RequestLog {
    /// A log by these options.
    pub fn new(options: RequestLogOptions) -> Self {
        let log = Self::default();
        log.set(options);
        log
    }

    /// Puts other options in force.
    pub fn set(&self, options: RequestLogOptions) {
        self.options.store(options.into());
    }

    /// Whether there is a request log.
    pub(super) fn is_on(&self) -> bool {
        self.options.load().enabled
    }

    /// Logs a request that ended, if it is one of those that are.
    pub(super) fn note(
        &self,
        method: usize,
        record: &RequestRecord,
        facts: &Facts,
        end: &End,
        seconds: f64,
        trace: Option<&str>,
    ) {
        let options = self.options.load();
        if !options.enabled || !self.is_chosen(&options, facts, end, seconds) {
            return;
        }
        let Some(left_out) = self.take_line(options.max_per_second) else { return };
        if left_out > 0 {
            say_left_out(left_out);
        }

        let stages = stages(record, facts);
        let trace = trace.unwrap_or_default();
        let Facts { key, generation, .. } = facts;
        let store = facts.store();
        let code = code_name(end.code);
        let ms = (seconds * 1e6).round() / 1e3;
        let End { reason, field, .. } = end;
        let method = method_name(method);
        if is_fault(end.code) {
            tracing::warn!(
                method, code, reason, field, store, key, generation, ms, stages, trace, "request"
            );
        } else {
            tracing::info!(
                method, code, reason, field, store, key, generation, ms, stages, trace, "request"
            );
        }
    }

    /// Whether a request is logged.
    fn is_chosen(
        &self,
        options: &RequestLogOptions,
        facts: &Facts,
        end: &End,
        seconds: f64,
    ) -> bool {
        let is_slow = !facts.is_stream && seconds * 1e3 >= options.slow_ms as f64;
        if end.code != Code::Ok || is_slow {
            return true;
        }
        // Evenly spread: the n-th request is in the sample where the sum of shares passes a whole.
        let n = self.seen.fetch_add(1, Ordering::Relaxed) as f64;
        (options.sample * (n + 1.0)).floor() > (options.sample * n).floor()
    }

    /// Logs how many lines were left out, if any were and the second is over.
    pub(super) fn say_left_out(&self) {
        let mut second = self.second.lock();
        if second.left_out > 0 && second.began.elapsed() >= Duration::from_secs(1) {
            let left_out = std::mem::take(&mut second.left_out);
            drop(second);
            say_left_out(left_out);
        }
    }

    /// Takes one of the lines of this second; returns the number that were left out in the last.
    /// None where all are taken.
    fn take_line(&self, max: u64) -> Option<u64> {
        let mut second = self.second.lock();
        let mut left_out = 0;
        if second.began.elapsed() >= Duration::from_secs(1) {
            left_out = second.left_out;
            *second = Second { began: Instant::now(), lines: 0, left_out: 0 };
        }

        if second.lines >= max {
            second.left_out += 1 + left_out;
            return None;
        }
        second.lines += 1;
        Some(left_out)
    }
}

fn say_left_out(left_out: u64) {
    tracing::warn!(left_out, "requests were not logged: more than logging.requests.max_per_second");
}

/// Whether a code means that the server could not do what was right to ask.
fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// The stages of a request with their milliseconds and what they passed on:
/// `receive 0.02, retrieve/item_cf 0.31 (400)`.
fn stages(record: &RequestRecord, facts: &Facts) -> String {
    let mut began = record.started;
    let mut text = String::new();
    for stage in &facts.stages {
        let ms = stage.ended.duration_since(began).as_secs_f64() * 1e3;
        began = stage.ended;
        let comma = if text.is_empty() { "" } else { ", " };
        let slash = if stage.source.is_empty() { "" } else { "/" };
        let passed = stage.passed.map(|passed| format!(" ({passed})")).unwrap_or_default();
        text += &format!("{comma}{}{slash}{} {ms:.3}{passed}", stage.name, stage.source);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: Code) -> End {
        End { code, reason: String::new(), field: String::new() }
    }

    #[test]
    fn failed_and_slow_requests_are_logged_and_a_share_of_the_others() {
        let options = RequestLogOptions { sample: 0.25, slow_ms: 100, ..Default::default() };
        let log = RequestLog::new(options.clone());
        let facts = Facts::default();
        assert!(log.is_chosen(&options, &facts, &end(Code::NotFound), 0.0));
        assert!(log.is_chosen(&options, &facts, &end(Code::Ok), 0.1));
        let chosen = (0..100).filter(|_| log.is_chosen(&options, &facts, &end(Code::Ok), 0.0));
        assert_eq!(chosen.count(), 25);
        let stream = Facts { is_stream: true, ..Facts::default() };
        let none = RequestLogOptions { sample: 0.0, ..options };
        assert!(!log.is_chosen(&none, &stream, &end(Code::Ok), 100.0));
    }

    #[test]
    fn lines_beyond_the_limit_are_counted() {
        let log = RequestLog::default();
        let taken: Vec<_> = (0..5).map(|_| log.take_line(2)).collect();
        assert_eq!(taken, [Some(0), Some(0), None, None, None]);
        log.second.lock().began -= Duration::from_secs(1);
        assert_eq!(log.take_line(2), Some(3));
    }
}
