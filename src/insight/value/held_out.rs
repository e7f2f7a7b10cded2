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

/// A method with each user's chance to buy again and expected number of purchases.
pub(super) type Predicted = (Method, Vec<(f64, f64)>);

/// Users at a cut, with what they bought after it.
pub(super) struct HeldOut {
    pub(super) pasts: Vec<Past>,
    rows: Vec<Features>,
    pub(super) truth: Vec<f64>,
}

impl HeldOut {
    pub(super) fn of(books: &[&OrderBook], cut_ms: i64, until_ms: i64) -> Self {
        let mut held_out = Self { pasts: Vec::new(), rows: Vec::new(), truth: Vec::new() };
        for book in books {
            let Some(past) = Past::of(book, cut_ms) else { continue };
            held_out.rows.push(features(book, &past, cut_ms));
            held_out.pasts.push(past);
            held_out.truth.push(bought_between(book, cut_ms, until_ms));
        }
        held_out
    }

    /// The predictions of every method that could be fitted.
    pub(super) fn predicted(&self, fitted: &Fitted, days: f64) -> Vec<Predicted> {
        let by_trees = fitted.by_trees(&self.rows);
        let of_user = |method, at: usize| {
            let row = by_trees.as_ref().map(|rows| rows[at]);
            fitted.predict(method, &self.pasts[at], row, days)
        };
        let of_all = |method| (0..self.pasts.len()).map(|at| of_user(method, at)).collect();
        let fitted = Method::ALL.into_iter().filter(|method| fitted.has(*method));
        fitted.map(|method| (method, of_all(method))).collect()
    }

    /// Every method's accuracy.
    pub(super) fn tried(&self, predicted: &[Predicted]) -> Vec<Tried> {
        let tried = Method::ALL.map(|method| {
            let predicted = predicted.iter().find(|each| each.0 == method);
            let by_median = |each: &Predicted| self.spread(&each.1).medians(&each.1);
            let accuracy = predicted.and_then(|each| Accuracy::of(&by_median(each), &self.truth));
            let failure = match (predicted, accuracy) {
                (None, _) => "it has too few users, or its fit does not converge on this log",
                (_, None) => "of the users of the held-out time all, or none, bought again",
                _ => "",
            };
            Tried { method, accuracy, failure: failure.to_owned() }
        });
        tried.to_vec()
    }

    /// The methods that answer: the one that tells best who buys again; and beside it the one whose numbers,
    /// by their medians, are nearest. `can` says which may.
    pub(super) fn choose(&self, predicted: &[Predicted], can: impl Fn(Method) -> bool) -> Choice {
        let usable: Vec<&Predicted> = predicted.iter().filter(|each| can(each.0)).collect();
        let accuracies = |rows: &[(f64, f64)]| Accuracy::of(rows, &self.truth);
        // The first of equals, which is the plainer.
        let better = |a: (f64, usize), b: (f64, usize)| if b.0 > a.0 { b } else { a };
        let aucs = (0..).zip(&usable).filter_map(|(at, of)| Some((accuracies(&of.1)?.auc, at)));
        let Some((_, again)) = aucs.reduce(better) else { return Choice::default() };

        let answered = |at: usize| -> Vec<(f64, f64)> {
            let rows = usable[again].1.iter().zip(&usable[at].1);
            rows.map(|(again, of)| (again.0, agreed(again.0, of.1))).collect()
        };
        let tried = (0..usable.len()).filter_map(|at| {
            let rows = answered(at);
            let spread = self.spread(&rows);
            let accuracy = accuracies(&spread.medians(&rows))?;
            Some((accuracy.mae, at, spread))
        });
        let nearest = tried.reduce(|best, next| if next.0 < best.0 { next } else { best });
        let Some((_, at, spread)) = nearest else { return Choice::default() };
        Choice { purchases_by: usable[at].0, again_by: usable[again].0, spread }
    }

    /// How far the true numbers spread around those predicted.
    fn spread(&self, predicted: &[(f64, f64)]) -> Spread {
        let numbers = predicted.iter().map(|each| each.1);
        let pairs: Vec<(f64, f64)> = numbers.zip(self.truth.iter().copied()).collect();
        Spread::fit(&pairs)
    }
}

/// The methods that answer, and how far numbers spread around theirs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) purchases_by: Method,
    pub(super) again_by: Method,
    pub(super) spread: Spread,
}

impl Default for Choice {
    /// Where nothing can be compared.
    fn default() -> Self {
        let spread = Spread { shape: 1.0 };
        Self { purchases_by: Method::Rate, again_by: Method::Rate, spread }
    }
}

/// The expected number of purchases beside the chance of one: no less than it, whichever methods they are by.
pub(super) fn agreed(again: f64, purchases: f64) -> f64 {
    purchases.max(again)
}
