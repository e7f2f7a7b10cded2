//! How far numbers of purchases spread around what is expected: a negative binomial distribution, whose one
//! shape is fitted to what users did.

use statrs::function::gamma::ln_gamma;

/// The shapes that are tried, as powers of 2: from nearly all or nothing to nearly Poisson.
const SHAPES: std::ops::RangeInclusive<i32> = -8..=12;
/// Steps between two powers of 2.
const STEPS: i32 = 4;
/// Maximum number of purchases of an interval.
const MAX: u32 = 100_000;

/// The distribution of numbers around their expectations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Shape: the variance is m + m² / shape.
    pub shape: f64,
}

impl Spread {
    /// Fits the shape by maximum likelihood to expected and true numbers.
    pub fn fit(numbers: &[(f64, f64)]) -> Self {
        if numbers.is_empty() {
            return Self { shape: 1.0 };
        }
        let ln_likelihood = |shape: f64| -> f64 {
            let spread = Self { shape };
            numbers.iter().map(|(expected, number)| spread.ln_mass(*expected, *number)).sum()
        };
        let exponents = SHAPES.start() * STEPS..=SHAPES.end() * STEPS;
        let shapes = exponents.map(|e| (f64::from(e) / f64::from(STEPS)).exp2());
        let tried = shapes.map(|shape| (ln_likelihood(shape), shape));
        let best = tried.max_by(|a, b| a.0.total_cmp(&b.0));
        Self { shape: best.map_or(1.0, |best| best.1) }
    }

    fn ln_mass(&self, expected: f64, number: f64) -> f64 {
        let (k, m) = (self.shape, expected.max(1e-9));
        ln_gamma(k + number) - ln_gamma(k) - ln_gamma(number + 1.0)
            + k * (k / (k + m)).ln()
            + number * (m / (k + m)).ln()
    }

    /// The interval that holds the middle 80 % of the numbers whose expectation this is.
    pub fn interval(&self, expected: f64) -> (u32, u32) {
        let [low, high] = self.quantiles(expected, [0.1, 0.9]);
        (low, high)
    }

    /// The median of the numbers whose expectation this is: of all guesses the one with the least absolute
    /// error.
    pub fn median(&self, expected: f64) -> u32 {
        let [median] = self.quantiles(expected, [0.5]);
        median
    }

    /// Predictions, each a chance to buy again and an expected number, with the median for the number.
    pub(super) fn medians(&self, predicted: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let median = |&(again, expected): &(f64, f64)| (again, f64::from(self.median(expected)));
        predicted.iter().map(median).collect()
    }

    /// The smallest numbers that are not exceeded with these probabilities, which ascend.
    fn quantiles<const N: usize>(&self, expected: f64, shares: [f64; N]) -> [u32; N] {
        let (k, m) = (self.shape, expected.max(1e-9));
        // Logarithms: the mass of 0 is below the smallest number where much is expected.
        let mut ln_mass = k * (k / (k + m)).ln();
        let mut sum = ln_mass.exp();
        let mut number = 0;
        shares.map(|share| {
            while sum < share && number < MAX {
                let n = f64::from(number);
                ln_mass += ((k + n) / (n + 1.0) * (m / (k + m))).ln();
                sum += ln_mass.exp();
                number += 1;
            }
            number
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_found_and_intervals_hold_four_of_five() {
        use rand::SeedableRng;
        use rand_distr::{Distribution, Gamma, Poisson};
        let mut rng = rand::rngs::StdRng::seed_from_u64(3);
        let rates = Gamma::new(0.5, 2.0).unwrap();
        let numbers: Vec<(f64, f64)> = (0..20_000)
            .map(|n| {
                let expected = 0.5 + f64::from(n % 8);
                let rate: f64 = expected * rates.sample(&mut rng);
                (expected, Poisson::new(rate.max(1e-12)).unwrap().sample(&mut rng))
            })
            .collect();
        let spread = Spread::fit(&numbers);
        assert!((spread.shape / 0.5 - 1.0).abs() < 0.2, "{spread:?}");
        let held = numbers.iter().filter(|(expected, number)| {
            let (low, high) = spread.interval(*expected);
            (f64::from(low)..=f64::from(high)).contains(number)
        });
        let share = held.count() as f64 / numbers.len() as f64;
        assert!((0.8..0.95).contains(&share), "{share}");
        let wrong = |guess: f64| {
            let of_group = numbers.iter().filter(|of| of.0 == 3.5);
            of_group.map(|of| (of.1 - guess).abs()).sum::<f64>()
        };
        let median = f64::from(spread.median(3.5));
        assert!(median < 3.5 && (0..8).all(|n| wrong(f64::from(n)) >= wrong(median)), "{median}");
        for expected in [0.0, 1e-12, 5_000.0] {
            let (low, high) = Spread { shape: 1e3 }.interval(expected);
            assert!(low <= high && f64::from(low) <= expected && f64::from(high + 1) >= expected);
        }
    }
}
