//! Counts of the server as a whole; those of a store are part of the store.

use std::collections::BTreeMap;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::api::access::methods::METHODS;
use crate::telemetry::request_counts::MAX_METHODS;
use crate::telemetry::{RequestCounts, latency};

/// The number of methods that are counted separately: those of the protocol, and all others
/// together.
pub const COUNTED_METHODS: usize = METHODS.len() + 1;
const _: () = assert!(COUNTED_METHODS <= MAX_METHODS, "stores count that many methods");
/// The number under which methods outside the protocol are counted.
pub const OTHER_METHODS: usize = METHODS.len();

/// Labels of one series.
pub type Labels = Vec<(&'static str, String)>;

/// The counts of a server since it started.
#[derive(Debug)]
pub struct ServerMetrics {
    /// When it started.
    pub started: Instant,
    /// Requests that are not answered yet.
    pub in_flight: Gauge,
    /// Seconds from a request's arrival to its answer, by method; a stream's to its end.
    pub latency: Vec<Histogram>,
    /// Requests of no store: health checks, administration, refusals before the store is known.
    pub of_no_store: RequestCounts,
    /// Requests that are refused or fail, by the reason in their status.
    failed: Mutex<BTreeMap<String, u64>>,
}

/// Maximum number of reasons that are counted separately.
const MAX_REASONS: usize = 100;

impl ServerMetrics {
    /// Counts a request that is refused or fails, by the reason in its status.
    pub fn note_failure(&self, reason: &str) {
        let mut failed = self.failed.lock();
        if failed.len() < MAX_REASONS || failed.contains_key(reason) {
            *failed.entry(reason.to_owned()).or_default() += 1;
        }
    }

    /// The counts of requests that were refused or failed, by reason.
    pub fn failures(&self) -> Vec<(Labels, u64)> {
        let failed = self.failed.lock();
        failed.iter().map(|(reason, count)| (vec![("reason", reason.clone())], *count)).collect()
    }
}

impl Default for ServerMetrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            in_flight: Gauge::default(),
            latency: (0..COUNTED_METHODS).map(|_| latency::histogram()).collect(),
            of_no_store: RequestCounts::new(""),
            failed: Mutex::default(),
        }
    }
}

/// The name of a method by its number.
pub fn method_name(number: usize) -> &'static str {
    METHODS.get(number).map_or("other", |method| method.name)
}
