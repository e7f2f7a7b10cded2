//! Histograms of durations, in seconds.

use prometheus_client::metrics::histogram::Histogram;

/// The upper ends of the buckets, in seconds: from a prepared list to a request that takes long.
const BUCKETS: [f64; 17] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// An empty histogram; its clones share its counts.
pub fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}
