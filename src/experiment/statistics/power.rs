//! How many units an experiment needs.

use super::estimate::quantile;

/// The units that each of two equal variants needs to find a difference of means of this size with
/// probability `power` at level `alpha`, where y has this variance: 2 σ² (z_{1−α/2} + z_power)² / δ².
pub fn units_needed(variance: f64, difference: f64, alpha: f64, power: f64) -> f64 {
    let z = quantile(1.0 - alpha / 2.0) + quantile(power);
    2.0 * variance * (z / difference).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_textbook_case() {
        // Half a standard deviation, 80 %, 5 %: 63 in each.
        assert_eq!(units_needed(1.0, 0.5, 0.05, 0.8).ceil(), 63.0);
        assert_eq!(units_needed(1.0, 0.0, 0.05, 0.8), f64::INFINITY);
    }
}
