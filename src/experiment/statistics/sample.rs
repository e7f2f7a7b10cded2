//! Means, variances and a covariance over the units of a variant.

use serde::{Deserialize, Serialize};

use super::estimate::Estimate;

/// What is summed over units: an outcome y, and x beside it, which is a covariate from before the
/// experiment, or the denominator of a ratio. Updated as by Welford, so that large means lose no digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Number of units.
    pub n: u64,
    positive: u64,
    mean_y: f64,
    mean_x: f64,
    squares_y: f64,
    squares_x: f64,
    products: f64,
}

impl Sample {
    /// Adds a unit.
    pub fn add(&mut self, y: f64, x: f64) {
        self.n += 1;
        self.positive += u64::from(y > 0.0);
        let n = self.n as f64;
        let (dy, dx) = (y - self.mean_y, x - self.mean_x);
        self.mean_y += dy / n;
        self.mean_x += dx / n;
        self.squares_y += dy * (y - self.mean_y);
        self.squares_x += dx * (x - self.mean_x);
        self.products += dy * (x - self.mean_x);
    }

    /// The mean of y; 0 without units.
    pub fn mean(&self) -> f64 {
        self.mean_y
    }

    /// The variance of y; 0 with fewer than two units.
    pub fn variance(&self) -> f64 {
        self.over_n(self.squares_y)
    }

    /// Number of units with y above 0.
    pub fn positive(&self) -> u64 {
        self.positive
    }

    /// The standard error of y as a share of units, with one more unit of either kind (Laplace's rule), so
    /// that it is not 0 where the share is.
    pub fn error_of_share(&self) -> f64 {
        let share = (self.positive + 1) as f64 / (self.n + 2) as f64;
        (share * (1.0 - share) / self.n.max(1) as f64).sqrt()
    }

    /// The mean of y with its standard error.
    pub fn estimate(&self) -> Estimate {
        Estimate::new(self.mean_y, self.variance(), self.n)
    }

    /// Σy / Σx with its standard error by the delta method, for units that have several x each (Deng et
    /// al., "Applying the Delta Method in Metric Analytics", KDD 2018); none where x is 0.
    pub fn ratio(&self) -> Option<Estimate> {
        let ratio = self.mean_y / self.mean_x;
        let squares = self.squares_y - 2.0 * ratio * self.products + ratio * ratio * self.squares_x;
        let variance = self.over_n(squares) / (self.mean_x * self.mean_x);
        ratio.is_finite().then(|| Estimate::new(ratio, variance.max(0.0), self.n))
    }

    /// The mean of y − θ (x − `mean_x`), whose variance is smaller where x predicts y.
    fn adjusted(&self, theta: f64, mean_x: f64) -> Estimate {
        let squares = self.squares_y - 2.0 * theta * self.products + theta * theta * self.squares_x;
        let mean = self.mean_y - theta * (self.mean_x - mean_x);
        Estimate::new(mean, self.over_n(squares).max(0.0), self.n)
    }

    fn over_n(&self, squares: f64) -> f64 {
        if self.n < 2 { 0.0 } else { squares / (self.n - 1) as f64 }
    }
}

/// The means of y of all variants, adjusted by x from before the experiment (CUPED: Deng, Xu, Kohavi and
/// Walker, WSDM 2013). θ is that of the pooled units, within variants.
pub fn adjusted(samples: &[Sample]) -> Vec<Estimate> {
    let products: f64 = samples.iter().map(|sample| sample.products).sum();
    let squares: f64 = samples.iter().map(|sample| sample.squares_x).sum();
    let theta = if squares > 0.0 { products / squares } else { 0.0 };
    let units: u64 = samples.iter().map(|sample| sample.n).sum();
    let sum: f64 = samples.iter().map(|sample| sample.mean_x * sample.n as f64).sum();
    let mean_x = sum / units.max(1) as f64;
    samples.iter().map(|sample| sample.adjusted(theta, mean_x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: &[(f64, f64)]) -> Sample {
        let mut sample = Sample::default();
        rows.iter().for_each(|&(y, x)| sample.add(y, x));
        sample
    }

    #[test]
    fn means_and_variances_by_hand() {
        let of_four = sample(&[(2.0, 1.0), (4.0, 2.0), (4.0, 3.0), (6.0, 2.0)]);
        assert_eq!((of_four.mean(), of_four.n), (4.0, 4));
        assert!((of_four.variance() - 8.0 / 3.0).abs() < 1e-12);
        let estimate = of_four.estimate();
        assert!((estimate.standard_error - (8.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(Sample::default().variance(), 0.0);
        // A billion more changes no variance.
        let far = sample(&[(1e9 + 2.0, 0.0), (1e9 + 4.0, 0.0), (1e9 + 4.0, 0.0), (1e9 + 6.0, 0.0)]);
        assert!((far.variance() - 8.0 / 3.0).abs() < 1e-6, "{}", far.variance());
    }

    #[test]
    fn a_ratio_is_that_of_the_sums() {
        let clicks = sample(&[(1.0, 10.0), (0.0, 5.0), (3.0, 15.0)]);
        let ratio = clicks.ratio().unwrap();
        assert!((ratio.value - 4.0 / 30.0).abs() < 1e-12);
        // Of y − R x: −1/3, −2/3, 1; their squares sum to 14/9.
        let expected = (14.0f64 / 9.0 / 2.0 / 3.0).sqrt() / 10.0;
        assert!((ratio.standard_error - expected).abs() < 1e-12);
        assert_eq!(sample(&[(1.0, 0.0)]).ratio(), None);
    }

    #[test]
    fn a_covariate_removes_what_it_explains() {
        // y = 3 x + the variant's effect of 1, exactly.
        let of = |effect: f64, xs: &[f64]| {
            sample(&xs.iter().map(|x| (3.0 * x + effect, *x)).collect::<Vec<_>>())
        };
        let (control, other) = (of(0.0, &[1.0, 2.0, 6.0]), of(1.0, &[2.0, 3.0, 10.0]));
        let adjusted = adjusted(&[control, other]);
        assert!((adjusted[1].value - adjusted[0].value - 1.0).abs() < 1e-9);
        assert!(adjusted[1].standard_error < 1e-6);
    }
}
