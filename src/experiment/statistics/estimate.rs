//! Estimates with their intervals.

use statrs::distribution::{ContinuousCDF, Normal};

/// Units for which always-valid intervals are narrowest: of as many an experiment of a shop has after
/// days. With ten times as many they are wider by a few per cent.
pub const TUNED_FOR: f64 = 5_000.0;

/// An estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// What is estimated.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Units behind it.
    pub n: u64,
}

/// An interval of an estimate, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Estimate {
    /// The mean of `n` units of this variance.
    pub fn new(value: f64, variance: f64, n: u64) -> Self {
        Self { value, standard_error: (variance / n.max(1) as f64).sqrt(), n }
    }

    /// The same with a standard error of at least this.
    pub fn at_least(self, standard_error: f64) -> Self {
        Self { standard_error: self.standard_error.max(standard_error), ..self }
    }

    /// This minus another, of other units.
    pub fn minus(&self, other: &Self) -> Self {
        let standard_error = self.standard_error.hypot(other.standard_error);
        Self { value: self.value - other.value, standard_error, n: self.n + other.n }
    }

    /// How much larger this is than a `control` of other units, as a share of it, by the delta method;
    /// none where the control is not above 0.
    pub fn lift_over(&self, control: &Self) -> Option<Self> {
        if control.value <= 0.0 {
            return None;
        }
        let ratio = self.value / control.value;
        let standard_error =
            self.standard_error.hypot(ratio * control.standard_error) / control.value;
        Some(Self { value: ratio - 1.0, standard_error, n: self.n + control.n })
    }

    /// The interval that covers the truth with probability 1 − `alpha` if it is computed once, at a time
    /// that was planned.
    pub fn fixed_horizon(&self, alpha: f64) -> Interval {
        self.within(quantile(1.0 - alpha / 2.0) * self.standard_error)
    }

    /// The interval of a confidence sequence: with probability 1 − `alpha` it covers the truth however
    /// often it is computed as units arrive (the asymptotic confidence sequence of Waudby-Smith, Arbour,
    /// Sinha, Kennedy and Ramdas, arXiv 2103.06476, Theorem 2.2, tuned as in its appendix for
    /// [`TUNED_FOR`] units; Adobe and GrowthBook use the same).
    pub fn always_valid(&self, alpha: f64) -> Interval {
        let scale = -2.0 * alpha.ln();
        let rho = ((scale + (scale + 1.0).ln()) / TUNED_FOR).sqrt();
        let grown = self.n as f64 * rho * rho + 1.0;
        let factor = 2.0 * grown / (grown - 1.0) * (grown.sqrt() / alpha).ln();
        self.within(factor.sqrt() * self.standard_error)
    }

    fn within(&self, half: f64) -> Interval {
        // Nothing is known of less than two units.
        let half = if self.n < 2 || !half.is_finite() { f64::INFINITY } else { half };
        Interval { low: self.value - half, high: self.value + half }
    }
}

impl Interval {
    /// Whether it holds a value.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Its length.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// The quantile of the standard normal distribution.
pub(super) fn quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_by_hand() {
        let estimate = Estimate::new(0.1, 4.0, 10_000);
        let fixed = estimate.fixed_horizon(0.05);
        assert!((fixed.high - (0.1 + 1.959_964 * 0.02)).abs() < 1e-6, "{fixed:?}");

        // ρ² = (5.9915 + ln 6.9915) / 5000 = .0015872; n ρ² + 1 = 16.872; 2 · 16.872 / 15.872 ·
        // ln(4.1076 / .05) = 9.3747.
        let always = estimate.always_valid(0.05);
        assert!((always.high - (0.1 + 9.3747f64.sqrt() * 0.02)).abs() < 1e-4, "{always:?}");
        assert!(always.width() > fixed.width());
        assert_eq!(Estimate::new(0.1, 4.0, 1).always_valid(0.05).high, f64::INFINITY);
    }

    #[test]
    fn lifts_are_shares_of_the_control() {
        let control = Estimate { value: 0.2, standard_error: 0.01, n: 100 };
        let other = Estimate { value: 0.25, standard_error: 0.02, n: 100 };
        let lift = other.lift_over(&control).unwrap();
        assert!((lift.value - 0.25).abs() < 1e-12);
        assert!((lift.standard_error - (0.1f64.powi(2) + 0.0625f64.powi(2)).sqrt()).abs() < 1e-12);
        assert_eq!(other.lift_over(&Estimate { value: 0.0, ..control }), None);
        let difference = other.minus(&control);
        assert!((difference.standard_error - 0.0005f64.sqrt()).abs() < 1e-12);
    }
}
