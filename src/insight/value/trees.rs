//! Boosted trees (forust) on features of a user's past at a moment, trained on what users did after earlier
//! moments.

use forust_ml::objective::ObjectiveType;
use forust_ml::sampler::SampleMethod;
use forust_ml::{GradientBooster, Matrix};

use super::past::Past;
use crate::domain::DAY_MS;
use crate::domain::order::OrderBook;

/// Number of features.
const FEATURES: usize = 14;
const TREES: usize = 150;
const DEPTH: usize = 3;
const LEARNING_RATE: f32 = 0.04;
const LEAF_WEIGHT: f32 = 20.0;
/// Share of the rows, and of the features, that each tree sees.
const SAMPLE_ROWS: f32 = 0.7;
const SAMPLE_FEATURES: f64 = 0.5;
/// Minimum number of users to learn from.
const MIN_USERS: usize = 200;

/// What is read of a user's past.
pub type Features = [f64; FEATURES];

/// A user's features at a moment with what they did in the days after it.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The features.
    pub features: Features,
    /// Number of days with a purchase after the moment.
    pub purchases: f64,
}

/// Trees for the chance to buy again, and for the number of purchases of those who do (a hurdle model:
/// Mullahy, "Specification and testing of some modified count data models", 1986).
pub struct Trees {
    again: GradientBooster,
    /// Of the logarithm of the number, which large numbers do not rule.
    purchases: GradientBooster,
    /// What the numbers are multiplied by, so that their mean is right.
    factor: f64,
}

impl std::fmt::Debug for Trees {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trees").field("factor", &self.factor).finish_non_exhaustive()
    }
}

impl Trees {
    /// Trains on examples; none where there are too few, or all did the same.
    pub fn fit(examples: &[Example], seed: u64) -> Option<Self> {
        let bought = examples.iter().filter(|example| example.purchases > 0.0).count();
        if bought.min(examples.len() - bought) < MIN_USERS / 4 || examples.len() < MIN_USERS {
            return None;
        }

        let again: Vec<f64> =
            examples.iter().map(|e| f64::from(u8::from(e.purchases > 0.0))).collect();
        let again = grown(ObjectiveType::LogLoss, examples, &again, seed)?;

        let buyers: Vec<Example> = examples.iter().copied().filter(|e| e.purchases > 0.0).collect();
        let logarithms: Vec<f64> = buyers.iter().map(|e| e.purchases.ln()).collect();
        let purchases = grown(ObjectiveType::SquaredLoss, &buyers, &logarithms, seed)?;
        let columns = columns(buyers.iter().map(|e| &e.features));
        let data = Matrix::new(&columns, buyers.len(), FEATURES);
        let predicted: f64 = purchases.predict(&data, false).into_iter().map(f64::exp).sum();
        let factor = buyers.iter().map(|e| e.purchases).sum::<f64>() / predicted;
        factor.is_finite().then_some(Self { again, purchases, factor })
    }

    /// The probability of a purchase, and the expected number of days with one, for each row.
    pub fn predict(&self, rows: &[Features]) -> Vec<(f64, f64)> {
        let columns = columns(rows.iter());
        let data = Matrix::new(&columns, rows.len(), FEATURES);
        let again = self.again.predict(&data, false).into_iter();
        let again = again.map(|odds| 1.0 / (1.0 + (-odds).exp()));
        let purchases = self.purchases.predict(&data, false).into_iter();
        let of_buyers = purchases.map(|ln| (self.factor * ln.exp()).max(1.0));
        again.zip(of_buyers).map(|(again, of_buyers)| (again, again * of_buyers)).collect()
    }
}

fn grown(
    objective: ObjectiveType,
    examples: &[Example],
    labels: &[f64],
    seed: u64,
) -> Option<GradientBooster> {
    let columns = columns(examples.iter().map(|e| &e.features));
    let data = Matrix::new(&columns, examples.len(), FEATURES);
    let mut booster = booster(objective, seed);
    booster.fit_unweighted(&data, labels, None).ok()?;
    Some(booster)
}

fn booster(objective: ObjectiveType, seed: u64) -> GradientBooster {
    GradientBooster::default()
        .set_objective_type(objective)
        .set_iterations(TREES)
        .set_learning_rate(LEARNING_RATE)
        .set_max_depth(DEPTH)
        .set_max_leaves(1 << DEPTH)
        .set_min_leaf_weight(LEAF_WEIGHT)
        .set_subsample(SAMPLE_ROWS)
        .set_sample_method(SampleMethod::Random)
        .set_colsample_bytree(SAMPLE_FEATURES)
        .set_seed(seed)
        .set_parallel(false)
}

fn columns<'a>(rows: impl Iterator<Item = &'a Features> + Clone) -> Vec<f64> {
    (0..FEATURES).flat_map(|f| rows.clone().map(move |row| row[f])).collect()
}

/// The features of a past at a moment; of what is not known, such as a gap after one purchase, not a number,
/// which the trees send their own way.
pub fn features(book: &OrderBook, past: &Past, at_ms: i64) -> Features {
    let mut days: Vec<i64> = Vec::new();
    let mut units = 0.0;
    for order in book.standing().take_while(|order| order.time_ms() <= at_ms) {
        let day = order.time_ms().div_euclid(DAY_MS);
        units += f64::from(order.units());
        if days.last() != Some(&day) {
            days.push(day);
        }
    }

    let today = at_ms.div_euclid(DAY_MS);
    let within =
        |span: i64| days.iter().rev().take_while(|day| today - **day < span).count() as f64;
    let gaps: Vec<f64> = days.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let gap = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let spread = gaps.iter().map(|each| (each - gap).powi(2)).sum::<f64>() / gaps.len() as f64;
    let idle = past.age - past.recency;
    let bought = past.repeats + 1.0;
    [
        idle,
        past.repeats,
        past.age,
        past.recency,
        past.repeats / past.age.max(1.0),
        gap,
        spread.sqrt(),
        gaps.last().copied().unwrap_or(f64::NAN),
        idle / gap,
        within(30),
        within(90),
        within(180),
        past.mean_spend,
        units / bought,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_the_past_is_learned() {
        // Who bought lately buys again, in proportion to what they bought.
        let example = |n: u32| {
            let (idle, repeats) = (f64::from(n % 50), f64::from(n % 7));
            let mut features = [0.0; FEATURES];
            (features[0], features[1]) = (idle, repeats);
            Example { features, purchases: if idle < 25.0 { repeats } else { 0.0 } }
        };
        let examples: Vec<Example> = (0..3_500).map(example).collect();
        let trees = Trees::fit(&examples, 1).unwrap();
        let row = |idle, repeats| {
            let mut features = [0.0; FEATURES];
            (features[0], features[1]) = (idle, repeats);
            features
        };
        let found = trees.predict(&[row(3.0, 6.0), row(3.0, 2.0), row(40.0, 6.0)]);
        assert!(found[0].0 > 0.9 && found[2].0 < 0.1, "{found:?}");
        assert!((found[0].1 - 6.0).abs() < 1.0 && (found[1].1 - 2.0).abs() < 0.7, "{found:?}");
        assert!(Trees::fit(&examples[..100], 1).is_none());
    }
}
