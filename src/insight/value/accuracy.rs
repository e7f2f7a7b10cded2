//! How right predictions were on users whose later purchases are known.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What a method reaches on held-out time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Probability that of two users the one who bought again has the higher chance (area under the curve of
    /// receiver operating characteristics): 0.5 to 1 for useful predictions.
    pub auc: f64,
    /// Mean absolute error of the number of purchases.
    pub mae: f64,
}

/// An accuracy with its 95 % intervals, by 400 samples of the users (Efron's bootstrap).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The accuracy.
    pub accuracy: Accuracy,
    /// Of the area under the curve.
    pub auc_range: (f64, f64),
    /// Of the mean absolute error.
    pub mae_range: (f64, f64),
}

/// Number of samples of an interval.
const SAMPLES: usize = 400;

impl Accuracy {
    /// The accuracy with its intervals. See [`Accuracy::of`].
    pub fn with_interval(predicted: &[(f64, f64)], truth: &[f64], seed: u64) -> Option<Measured> {
        let ranked = Ranked::of(predicted, truth);
        let accuracy = ranked.weighted(&vec![1; truth.len()])?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut weights = vec![0u32; truth.len()];
        let mut samples = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            weights.fill(0);
            (0..truth.len()).for_each(|_| weights[rng.random_range(0..truth.len())] += 1);
            samples.extend(ranked.weighted(&weights));
        }

        let range = |figure: fn(&Accuracy) -> f64| {
            let mut values: Vec<f64> = samples.iter().map(figure).collect();
            values.sort_unstable_by(f64::total_cmp);
            let at = |share: f64| values.get((share * values.len() as f64) as usize).copied();
            let plain = figure(&accuracy);
            (at(0.025).unwrap_or(plain), at(0.975).unwrap_or(plain))
        };
        let auc_range = range(|accuracy| accuracy.auc);
        Some(Measured { accuracy, auc_range, mae_range: range(|accuracy| accuracy.mae) })
    }

    /// Compares predictions, each a chance to buy again and an expected number, with the true numbers; none
    /// where all or none bought again.
    pub fn of(predicted: &[(f64, f64)], truth: &[f64]) -> Option<Self> {
        Ranked::of(predicted, truth).weighted(&vec![1; truth.len()])
    }
}

/// Users by their chance to buy again.
struct Ranked {
    /// The place of a user, their chance, the error of their number, and whether they bought.
    users: Vec<(usize, f64, f64, bool)>,
}

impl Ranked {
    fn of(predicted: &[(f64, f64)], truth: &[f64]) -> Self {
        let users = predicted.iter().zip(truth).enumerate();
        let mut users: Vec<_> = users
            .map(|(at, ((again, number), truth))| {
                (at, *again, (number - truth).abs(), *truth > 0.0)
            })
            .collect();
        users.sort_by(|a, b| a.1.total_cmp(&b.1));
        Self { users }
    }

    /// The accuracy where each user counts as often as `weights` says, by their places: the rank sum of Mann
    /// and Whitney, with the mean rank for equal chances.
    fn weighted(&self, weights: &[u32]) -> Option<Accuracy> {
        let (mut bought, mut others, mut errors) = (0.0, 0.0, 0.0);
        let mut pairs = 0.0;
        for group in self.users.chunk_by(|a, b| a.1 == b.1) {
            let (mut of_group, mut others_of_group) = (0.0, 0.0);
            for (at, _, error, did_buy) in group {
                let weight = f64::from(weights[*at]);
                errors += weight * error;
                if *did_buy {
                    of_group += weight;
                } else {
                    others_of_group += weight;
                }
            }
            pairs += of_group * (others + others_of_group / 2.0);
            bought += of_group;
            others += others_of_group;
        }
        let (auc, mae) = (pairs / (bought * others), errors / (bought + others));
        (auc.is_finite() && mae.is_finite()).then_some(Accuracy { auc, mae })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_distance_are_measured() {
        let truth = [0.0, 0.0, 1.0, 2.0];
        let right = [(0.1, 0.0), (0.2, 0.0), (0.3, 1.0), (0.4, 2.0)];
        assert_eq!(Accuracy::of(&right, &truth), Some(Accuracy { auc: 1.0, mae: 0.0 }));
        let even = [(0.5, 1.0); 4];
        assert_eq!(Accuracy::of(&even, &truth), Some(Accuracy { auc: 0.5, mae: 0.75 }));
        assert_eq!(Accuracy::of(&even, &[0.0; 4]), None);
        let measured = Accuracy::with_interval(&even, &truth, 1).unwrap();
        assert!(measured.auc_range == (0.5, 0.5) && measured.mae_range.0 < 0.75, "{measured:?}");
    }
}
