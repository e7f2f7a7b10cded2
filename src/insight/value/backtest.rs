//! Forecasts made at a moment against what happened after it.

use super::accuracy::{Accuracy, Measured};
use super::fitted::Method;
use super::held_out::{HeldOut, agreed};
use super::models::ValueModels;
use crate::domain::DAY_MS;
use crate::domain::order::OrderBook;

const SEED: u64 = 1;

/// Forecasts against what happened. Numbers are medians, which have the least absolute error.
#[derive(Debug, Clone, PartialEq)]
pub struct Backtest {
    /// Number of users who had bought before.
    pub users: usize,
    /// Number of them who bought again.
    pub bought_again: usize,
    /// Every method that could be fitted.
    pub methods: Vec<(Method, Measured)>,
    /// The answer of the chosen methods.
    pub answered: Measured,
    /// The method of the expected purchases, and that of the chances to buy again.
    pub chosen: (Method, Method),
}

impl ValueModels {
    /// How right every method was between the moment that the models were fitted at and a later one, and
    /// the answer made of the chosen ones; none where all or none bought again.
    pub fn backtest(&self, books: &[&OrderBook], until_ms: i64) -> Option<Backtest> {
        let after = HeldOut::of(books, self.as_of_ms, until_ms);
        let days = (until_ms - self.as_of_ms) as f64 / DAY_MS as f64;
        let predicted = after.predicted(&self.fitted, days);
        let of =
            |chosen: Method| predicted.iter().find(|each| each.0 == chosen).map(|each| &each.1);
        let answered = of(self.again_by)?.iter().zip(of(self.purchases_by)?);
        let answered: Vec<(f64, f64)> =
            answered.map(|(again, of)| (again.0, agreed(again.0, of.1))).collect();

        let measured = |rows: &[(f64, f64)]| {
            Accuracy::with_interval(&self.spread.medians(rows), &after.truth, SEED)
        };
        Some(Backtest {
            users: after.truth.len(),
            bought_again: after.truth.iter().filter(|bought| **bought > 0.0).count(),
            methods: predicted
                .iter()
                .map(|(method, rows)| Some((*method, measured(rows)?)))
                .collect::<Option<_>>()?,
            answered: measured(&answered)?,
            chosen: (self.purchases_by, self.again_by),
        })
    }
}
