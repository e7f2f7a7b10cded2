//! How long writes take from their arrival until they are in force, told in the log once a
//! minute, by the first write after it: what an operator looks at when shoppers say that clicks do not count.

use std::time::{Duration, Instant};

/// How often it is told.
const EVERY: Duration = Duration::from_secs(60);
/// Writes that are looked at between; more are counted only.
const SAMPLES: usize = 100_000;

/// Times of the writes since it was told last.
#[derive(Debug)]
pub(super) struct Lag {
    since: Instant,
    micros: Vec<u32>,
    writes: u64,
}

impl Default for Lag {
    fn default() -> Self {
        Self { since: Instant::now(), micros: Vec::new(), writes: 0 }
    }
}

impl Lag {
    /// A write that arrived then is in force now.
    pub(super) fn note(&mut self, arrived: Instant) {
        self.writes += 1;
        if self.micros.len() < SAMPLES {
            self.micros.push(arrived.elapsed().as_micros().min(u128::from(u32::MAX)) as u32);
        }
        if self.since.elapsed() >= EVERY {
            let writes = self.writes;
            let [p50_ms, p99_ms] = self.quantiles();
            tracing::info!(writes, p50_ms, p99_ms, "from a write's arrival until it is in force");
            *self = Self::default();
        }
    }

    /// The median and the 99th of a hundred, in milliseconds.
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
        let mut lag = Lag { micros: (0..200).map(|n| n * 1_000).collect(), ..Lag::default() };
        assert_eq!(lag.quantiles(), [100.0, 198.0]);
        lag.note(Instant::now() - Duration::from_millis(700));
        assert!(lag.micros.iter().any(|&micros| micros >= 700_000));
        lag.since -= EVERY;
        lag.note(Instant::now());
        assert_eq!((lag.writes, lag.micros.len()), (0, 0));
    }
}
