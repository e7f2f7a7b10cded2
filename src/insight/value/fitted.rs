//! The ways to predict purchases, as fitted to the log until a moment.

use super::buy_till_you_die::{BuyTillYouDie, Leaving};
use super::past::Past;
use super::trees::{Example, Features, Trees, features};
use crate::domain::DAY_MS;
use crate::domain::order::OrderBook;

/// Minimum number of users for anything but the plain rate.
pub(super) const MIN_USERS: usize = 50;
const SEED: u64 = 1;

/// A way to predict purchases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// A user's own purchases by day: repeats over age.
    Rate,
    /// NBD: rates differ between users, none leaves.
    Nbd,
    /// BG/NBD: users leave after a repeat purchase.
    BgNbd,
    /// MBG/NBD: users leave after any purchase.
    MbgNbd,
    /// Boosted trees on features of the past.
    Trees,
}

impl Method {
    /// Every method, the plainest first.
    pub const ALL: [Method; 5] =
        [Method::Rate, Method::Nbd, Method::BgNbd, Method::MbgNbd, Method::Trees];

    /// The methods with a formula.
    const FITTED: [(Method, Leaving); 3] = [
        (Method::Nbd, Leaving::Never),
        (Method::BgNbd, Leaving::AfterRepeat),
        (Method::MbgNbd, Leaving::AfterAny),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Method::Rate => "rate",
            Method::Nbd => "NBD",
            Method::BgNbd => "BG/NBD",
            Method::MbgNbd => "MBG/NBD",
            Method::Trees => "boosted trees",
        }
    }
}

/// The methods as fitted until a moment.
#[derive(Debug, Default)]
pub(super) struct Fitted {
    models: Vec<(Method, BuyTillYouDie)>,
    trees: Option<(Trees, f64)>,
}

impl Fitted {
    pub(super) fn fit(books: &[&OrderBook], since_ms: i64, at_ms: i64, horizon_ms: i64) -> Self {
        let pasts: Vec<Past> = books.iter().filter_map(|book| Past::of(book, at_ms)).collect();
        if pasts.len() < MIN_USERS {
            return Self::default();
        }
        let models = Method::FITTED.into_iter().filter_map(|(method, leaving)| {
            BuyTillYouDie::fit(leaving, &pasts).map(|model| (method, model))
        });
        let models = models.collect();
        let trees = (horizon_ms > 0).then(|| examples(books, since_ms, at_ms, horizon_ms));
        let trees = trees.and_then(|examples| Trees::fit(&examples, SEED));
        Self { models, trees: trees.map(|trees| (trees, (horizon_ms / DAY_MS) as f64)) }
    }

    pub(super) fn has(&self, method: Method) -> bool {
        match method {
            Method::Rate => true,
            Method::Trees => self.trees.is_some(),
            _ => self.model(method).is_some(),
        }
    }

    fn model(&self, method: Method) -> Option<&BuyTillYouDie> {
        self.models.iter().find(|(of, _)| *of == method).map(|(_, model)| model)
    }

    pub(super) fn by_trees(&self, rows: &[Features]) -> Option<Vec<(f64, f64)>> {
        self.trees.as_ref().map(|(trees, _)| trees.predict(rows))
    }

    /// The probability of a purchase in the next `days`, and the expected number.
    pub(super) fn predict(
        &self,
        method: Method,
        past: &Past,
        by_trees: Option<(f64, f64)>,
        days: f64,
    ) -> (f64, f64) {
        let rate = past.repeats / past.age.max(1.0) * days;
        let plain = (-(-rate).exp_m1(), rate);

        match method {
            Method::Rate => plain,
            Method::Trees => {
                let horizon = self.trees.as_ref().map(|trees| trees.1);
                let Some(((again, purchases), horizon)) = by_trees.zip(horizon) else {
                    return plain;
                };
                // The trees know one horizon; purchases come evenly.
                let share = days / horizon;
                (1.0 - (1.0 - again).powf(share), purchases * share)
            }
            _ => {
                let Some(model) = self.model(method) else { return plain };
                (model.again(past, days), model.expected(past, days).unwrap_or(rate))
            }
        }
    }

    /// By the model in which users can leave at any time, or the one in which they leave later.
    pub(super) fn alive(&self, past: &Past) -> Option<f64> {
        let model = self.model(Method::MbgNbd).or_else(|| self.model(Method::BgNbd));
        model.map(|model| model.alive(past))
    }
}

/// Users at earlier moments with what they bought in a horizon after each.
fn examples(books: &[&OrderBook], since_ms: i64, until_ms: i64, horizon_ms: i64) -> Vec<Example> {
    let moments = [until_ms - horizon_ms, until_ms - horizon_ms * 3 / 2];
    let mut examples = Vec::new();
    let last_of_day = |at_ms: i64| at_ms.div_euclid(DAY_MS) * DAY_MS - 1;
    for at_ms in moments.map(last_of_day).into_iter().filter(|at_ms| *at_ms > since_ms) {
        for book in books {
            let Some(past) = Past::of(book, at_ms) else { continue };
            let purchases = bought_between(book, at_ms, at_ms + horizon_ms);
            examples.push(Example { features: features(book, &past, at_ms), purchases });
        }
    }
    examples
}

/// Number of days with a purchase after one moment and until another.
pub(super) fn bought_between(book: &OrderBook, after_ms: i64, until_ms: i64) -> f64 {
    let mut last = None;
    let mut days = 0.0;
    let orders =
        book.standing().filter(|order| order.time_ms() > after_ms && order.time_ms() <= until_ms);
    for order in orders {
        let day = order.time_ms().div_euclid(DAY_MS);
        days += f64::from(u8::from(last != Some(day)));
        last = Some(day);
    }
    days
}
