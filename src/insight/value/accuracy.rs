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
        let accuracy = Self::of(predicted, truth)?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut samples = Vec::with_capacity(SAMPLES);
        for _ in 0..SAMPLES {
            let drawn = (0..truth.len()).map(|_| rng.random_range(0..truth.len()));
            let (of_drawn, true_of_drawn): (Vec<(f64, f64)>, Vec<f64>) =
                drawn.map(|at| (predicted[at], truth[at])).unzip();
            samples.extend(Self::of(&of_drawn, &true_of_drawn));
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
        let errors = predicted.iter().zip(truth).map(|((_, number), truth)| (number - truth).abs());
        let mae = errors.sum::<f64>() / truth.len() as f64;
        let mut ranked: Vec<(f64, bool)> =
            predicted.iter().zip(truth).map(|((again, _), truth)| (*again, *truth > 0.0)).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));

        // The rank sum of Mann and Whitney, with the mean rank for equal chances.
        let bought = ranked.iter().filter(|user| user.1).count() as f64;
        let others = ranked.len() as f64 - bought;
        let mut ranks = 0.0;
        let mut before = 0.0;
        for group in ranked.chunk_by(|a, b| a.0 == b.0) {
            let mean_rank = before + (group.len() as f64 + 1.0) / 2.0;
            ranks += mean_rank * group.iter().filter(|user| user.1).count() as f64;
            before += group.len() as f64;
        }
        let auc = (ranks - bought * (bought + 1.0) / 2.0) / (bought * others);
        (auc.is_finite() && mae.is_finite()).then_some(Self { auc, mae })
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
