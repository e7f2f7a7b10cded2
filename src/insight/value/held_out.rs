//! Users at a cut, with what they bought after it, which predictions are compared with.

use super::accuracy::Accuracy;
use super::fitted::{Fitted, Method, bought_between};
use super::past::Past;
use super::spread::Spread;
use super::trees::{Features, features};
use crate::domain::order::OrderBook;

/// A method on held-out time.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// The method.
    pub method: Method,
    /// How right it was; none where it could not be fitted, or nothing was held out.
    pub accuracy: Option<Accuracy>,
    /// Why it has no accuracy; empty where it has one.
    pub failure: String,
}

/// Users at a cut, with what they bought after it.
pub(super) struct HeldOut {
    pub(super) cut_ms: i64,
    pub(super) pasts: Vec<Past>,
    rows: Vec<Features>,
    pub(super) truth: Vec<f64>,
}

impl HeldOut {
    pub(super) fn of(books: &[&OrderBook], cut_ms: i64, until_ms: i64) -> Self {
        let mut held_out = Self { cut_ms, pasts: Vec::new(), rows: Vec::new(), truth: Vec::new() };
        for book in books {
            let Some(past) = Past::of(book, cut_ms) else { continue };
            held_out.rows.push(features(book, &past, cut_ms));
            held_out.pasts.push(past);
            held_out.truth.push(bought_between(book, cut_ms, until_ms));
        }
        held_out
    }

    /// The predictions of every method that could be fitted.
    pub(super) fn predicted(&self, fitted: &Fitted, days: f64) -> Vec<(Method, Vec<(f64, f64)>)> {
        let by_trees = fitted.by_trees(&self.rows);
        let of_user = |method, at: usize| {
            let row = by_trees.as_ref().map(|rows| rows[at]);
            fitted.predict(method, &self.pasts[at], row, days)
        };
        let of_all = |method| (0..self.pasts.len()).map(|at| of_user(method, at)).collect();
        let fitted = Method::ALL.into_iter().filter(|method| fitted.has(*method));
        fitted.map(|method| (method, of_all(method))).collect()
    }

    /// Every method's accuracy, and the spread around the best.
    pub(super) fn compare(&self, fitted: &Fitted, days: f64) -> (Vec<Tried>, Spread) {
        let mut predicted = self.predicted(fitted, days);
        let mut best: Option<(f64, Vec<(f64, f64)>)> = None;
        let tried = Method::ALL.map(|method| {
            let Some(at) = predicted.iter().position(|each| each.0 == method) else {
                let failure = "the fit does not converge on this log".to_owned();
                return Tried { method, accuracy: None, failure };
            };
            let predicted = predicted.swap_remove(at).1;
            let accuracy = Accuracy::of(&predicted, &self.truth);
            let failure = match accuracy {
                Some(_) => "",
                None => "of the users of the held-out time all, or none, bought again",
            };
            if let Some(accuracy) = accuracy
                && best.as_ref().is_none_or(|best| accuracy.mae < best.0)
            {
                best = Some((accuracy.mae, predicted));
            }
            Tried { method, accuracy, failure: failure.to_owned() }
        });

        let pairs = best.map_or(Vec::new(), |(_, predicted)| {
            predicted.iter().map(|each| each.1).zip(self.truth.iter().copied()).collect()
        });
        (tried.to_vec(), Spread::fit(&pairs))
    }
}
