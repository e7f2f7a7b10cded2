//! Write latency, from arrival until the write is visible. Logged at most once a minute, by
//! the next write. It shows the operator why clicks count late.

use std::time::{Duration, Instant};

/// Time between two log lines.
const EVERY: Duration = Duration::from_secs(60);
/// Writes sampled between two log lines; further ones are only counted.
const SAMPLES: usize = 100_000;

/// Latencies of the writes since the last log line.
#[derive(Debug)]
pub(super) struct WriteLatency {
    since: Instant,
    micros: Vec<u32>,
    writes: u64,
}

impl Default for WriteLatency {
    fn default() -> Self {
        Self { since: Instant::now(), micros: Vec::new(), writes: 0 }
    }
}

impl WriteLatency {
    /// Notes that a write that arrived then is visible now.
    pub(super) fn note(&mut self, arrived: Instant) {
        self.writes += 1;
        if self.micros.len() < SAMPLES {
            self.micros.push(arrived.elapsed().as_micros().min(u128::from(u32::MAX)) as u32);
        }
        if self.since.elapsed() >= EVERY {
            let writes = self.writes;
            let [p50_ms, p99_ms] = self.quantiles();
            tracing::info!(writes, p50_ms, p99_ms, "write latency");
            *self = Self::default();
        }
    }

    /// The median and the 99th percentile, in milliseconds.
    fn quantiles(&mut self) -> [f64; 2] {
        self.micros.sort_unstable();
        [0.5, 0.99].map(|share| {
            let at = (self.micros.len() as f64 * share) as usize;
            self.micros.get(at).map_or(0.0, |&micros| f64::from(micros) / 1e3)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_noted() {
        let mut latency = WriteLatency {
            micros: (0..200).map(|n| n * 1_000).collect(),
            ..WriteLatency::default()
        };
        assert_eq!(latency.quantiles(), [100.0, 198.0]);
        latency.note(Instant::now() - Duration::from_millis(700));
        assert!(latency.micros.iter().any(|&micros| micros >= 700_000));
        latency.since -= EVERY;
        latency.note(Instant::now());
        assert_eq!((latency.writes, latency.micros.len()), (0, 0));
    }
}
