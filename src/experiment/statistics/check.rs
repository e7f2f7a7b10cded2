//! Whether units arrived in the planned shares.

use statrs::distribution::{ChiSquared, ContinuousCDF};

/// The probability of shares that differ at least as much from the planned ones if units were assigned
/// as planned: Pearson's chi-square test of sample-ratio mismatch (Fabijan et al., KDD 2019). 1 where
/// there is nothing to compare.
pub fn sample_ratio(counts: &[u64], shares: &[f64]) -> f64 {
    let units: f64 = counts.iter().map(|&n| n as f64).sum();
    let planned: f64 = shares.iter().sum();
    let differences = counts.iter().zip(shares).filter(|(_, share)| **share > 0.0);
    let squares = differences.map(|(&n, share)| {
        let expected = units * share / planned;
        (n as f64 - expected).powi(2) / expected
    });

    let statistic: f64 = squares.sum();
    let freedom = shares.iter().filter(|share| **share > 0.0).count().saturating_sub(1);
    match ChiSquared::new(freedom as f64) {
        Ok(distribution) if units > 0.0 => distribution.sf(statistic),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_is_improbable() {
        // χ² = 2 · 25² / 500 = 2.5 with one degree of freedom.
        assert!((sample_ratio(&[525, 475], &[0.5, 0.5]) - 0.113_846).abs() < 1e-5);
        assert!(sample_ratio(&[5_500, 4_500], &[0.5, 0.5]) < 1e-20);
        assert!((sample_ratio(&[100, 200, 300], &[0.1, 0.2, 0.3]) - 1.0).abs() < 1e-12);
        assert_eq!(sample_ratio(&[0, 0], &[0.5, 0.5]), 1.0);
        assert_eq!(sample_ratio(&[10], &[1.0]), 1.0);
    }
}
