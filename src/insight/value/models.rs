//! The models of a store. Each is fitted to the log until a cut and compared on the time after it; those that
//! were right most are fitted again to the whole log and answer.

use super::accuracy::{Accuracy, Measured};
use super::buy_till_you_die::{BuyTillYouDie, Leaving};
use super::gamma_gamma::GammaGamma;
use super::past::Past;
use super::spread::Spread;
use super::trees::{Example, Features, Trees, features};
use crate::domain::DAY_MS;
use crate::domain::order::OrderBook;

/// Longest and shortest held-out time, in days.
const HORIZON_DAYS: (i64, i64) = (90, 7);
/// Part of the log's time that is held out.
const HELD_OUT: i64 = 4;
/// Maximum number of users that models are fitted to; of more, every n-th.
const SAMPLE: usize = 50_000;
/// Minimum number of users for anything but the plain rate.
const MIN_USERS: usize = 50;
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

/// The models of a store.
#[derive(Debug)]
pub struct ValueModels {
    /// Until when the log was read, in milliseconds since 1970.
    pub as_of_ms: i64,
    /// Length of the held-out time, in days; 0 where the log is too short.
    pub horizon_days: u32,
    /// Every method on held-out time.
    pub tried: Vec<Tried>,
    /// The method whose expected purchases were nearest.
    pub purchases_by: Method,
    /// The method whose chances to buy again told users apart best.
    pub again_by: Method,
    fitted: Fitted,
    spread: Spread,
    money: Money,
}

/// What a user will buy, in the days of a horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Horizon {
    /// The days.
    pub days: u32,
    /// The probability of a purchase in them: 0 to 1.
    pub again: f64,
    /// Expected number of days with a purchase.
    pub purchases: f64,
    /// The middle 80 % of such numbers.
    pub purchases_range: (u32, u32),
    /// Expected spend, in the store's currency.
    pub spend: f64,
    /// The spend of the numbers in `purchases_range`.
    pub spend_range: (f64, f64),
}

/// What a user will buy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// The probability that the user has not left; none where no model of leaving fits the store.
    pub alive: Option<f64>,
    /// Expected spend at a time, in the store's currency.
    pub spend_per_purchase: f64,
    /// The next 30, 90 and 365 days.
    pub horizons: [Horizon; 3],
}

/// The days that forecasts are of.
pub const FORECAST_DAYS: [u32; 3] = [30, 90, 365];

/// Forecasts against what happened.
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

/// The methods as fitted until a moment.
#[derive(Debug, Default)]
struct Fitted {
    models: Vec<(Method, BuyTillYouDie)>,
    trees: Option<(Trees, f64)>,
}

/// What users spend at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Money {
    GammaGamma(GammaGamma),
    /// The mean of all users, which a user's own is drawn to.
    Mean(f64),
}

/// Number of purchases that the mean of all users stands for, where gamma-gamma does not fit.
const MEAN_WEIGHT: f64 = 3.0;

impl ValueModels {
    /// Fits every method to the orders of users until `now_ms`, of which the first is at `since_ms`.
    pub fn fit(books: &[&OrderBook], since_ms: i64, now_ms: i64) -> Self {
        let step = books.len().div_ceil(SAMPLE).max(1);
        let books: Vec<&OrderBook> = books.iter().copied().step_by(step).collect();
        let span = (now_ms - since_ms) / DAY_MS;
        let days = (span / HELD_OUT).min(HORIZON_DAYS.0);
        let horizon_ms = if days < HORIZON_DAYS.1 { 0 } else { days * DAY_MS };

        let held_out = HeldOut::of(&books, now_ms - horizon_ms, now_ms);
        let (tried, spread) = if horizon_ms > 0 && held_out.pasts.len() >= MIN_USERS {
            let before = Fitted::fit(&books, since_ms, held_out.cut_ms, horizon_ms);
            held_out.compare(&before, (horizon_ms / DAY_MS) as f64)
        } else {
            let failure =
                "the log is too short, or has too few buyers, to hold time out".to_owned();
            (vec![Tried { method: Method::Rate, accuracy: None, failure }], Spread { shape: 1.0 })
        };

        let fitted = Fitted::fit(&books, since_ms, now_ms, horizon_ms);
        // What cannot be fitted to the whole log does not answer.
        let can = |tried: &&Tried| tried.accuracy.is_some() && fitted.has(tried.method);
        let best = |better: fn(&Accuracy) -> f64| {
            let scored = tried.iter().filter(can).filter_map(|tried| {
                tried.accuracy.as_ref().map(|accuracy| (better(accuracy), tried.method))
            });
            // The first of equals, which is the plainer.
            scored.reduce(|a, b| if b.0 > a.0 { b } else { a }).map_or(Method::Rate, |best| best.1)
        };
        Self {
            as_of_ms: now_ms,
            horizon_days: (horizon_ms / DAY_MS) as u32,
            purchases_by: best(|accuracy| -accuracy.mae),
            again_by: best(|accuracy| accuracy.auc),
            tried,
            fitted,
            spread,
            money: money(&books, now_ms),
        }
    }

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
            answered.map(|(again, purchases)| (again.0, purchases.1)).collect();

        let measured = |rows: &[(f64, f64)]| Accuracy::with_interval(rows, &after.truth, SEED);
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

    /// What a user will buy after `at_ms`; none before their first purchase.
    pub fn forecast(&self, book: &OrderBook, at_ms: i64) -> Option<Forecast> {
        let past = Past::of(book, at_ms)?;
        let row = features(book, &past, at_ms);
        let by_trees = self.fitted.by_trees(&[row]).map(|rows| rows[0]);
        let spend_per_purchase = match self.money {
            Money::GammaGamma(model) => model.expected(past.repeats + 1.0, past.mean_spend),
            Money::Mean(mean) => {
                let bought = past.repeats + 1.0;
                (bought * past.mean_spend + MEAN_WEIGHT * mean) / (bought + MEAN_WEIGHT)
            }
        };

        let horizon = |days: u32| {
            let ask = |method| self.fitted.predict(method, &past, by_trees, f64::from(days));
            let purchases = ask(self.purchases_by).1;
            let purchases_range = self.spread.interval(purchases);
            let (low, high) = purchases_range;
            Horizon {
                days,
                again: ask(self.again_by).0,
                purchases,
                purchases_range,
                spend: purchases * spend_per_purchase,
                spend_range: (
                    f64::from(low) * spend_per_purchase,
                    f64::from(high) * spend_per_purchase,
                ),
            }
        };
        Some(Forecast {
            alive: self.fitted.alive(&past),
            spend_per_purchase,
            horizons: FORECAST_DAYS.map(horizon),
        })
    }
}

/// Users at a cut, with what they bought after it.
struct HeldOut {
    cut_ms: i64,
    pasts: Vec<Past>,
    rows: Vec<Features>,
    truth: Vec<f64>,
}

impl HeldOut {
    fn of(books: &[&OrderBook], cut_ms: i64, until_ms: i64) -> Self {
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
    fn predicted(&self, fitted: &Fitted, days: f64) -> Vec<(Method, Vec<(f64, f64)>)> {
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
    fn compare(&self, fitted: &Fitted, days: f64) -> (Vec<Tried>, Spread) {
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

impl Fitted {
    fn fit(books: &[&OrderBook], since_ms: i64, at_ms: i64, horizon_ms: i64) -> Self {
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

    fn has(&self, method: Method) -> bool {
        match method {
            Method::Rate => true,
            Method::Trees => self.trees.is_some(),
            _ => self.model(method).is_some(),
        }
    }

    fn model(&self, method: Method) -> Option<&BuyTillYouDie> {
        self.models.iter().find(|(of, _)| *of == method).map(|(_, model)| model)
    }

    fn by_trees(&self, rows: &[Features]) -> Option<Vec<(f64, f64)>> {
        self.trees.as_ref().map(|(trees, _)| trees.predict(rows))
    }

    /// The probability of a purchase in the next `days`, and the expected number.
    fn predict(
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
    fn alive(&self, past: &Past) -> Option<f64> {
        let model = self.model(Method::MbgNbd).or_else(|| self.model(Method::BgNbd));
        model.map(|model| model.alive(past))
    }
}

/// Users at earlier moments with what they bought in a horizon after each.
fn examples(books: &[&OrderBook], since_ms: i64, until_ms: i64, horizon_ms: i64) -> Vec<Example> {
    let moments = [until_ms - horizon_ms, until_ms - horizon_ms * 3 / 2];
    let mut examples = Vec::new();
    for at_ms in moments.into_iter().filter(|at_ms| *at_ms > since_ms) {
        for book in books {
            let Some(past) = Past::of(book, at_ms) else { continue };
            let purchases = bought_between(book, at_ms, at_ms + horizon_ms);
            examples.push(Example { features: features(book, &past, at_ms), purchases });
        }
    }
    examples
}

/// Number of days with a purchase after one moment and until another.
fn bought_between(book: &OrderBook, after_ms: i64, until_ms: i64) -> f64 {
    let mut last = None;
    let mut days = 0.0;
    let orders =
        book.standing().filter(|order| order.time_ms > after_ms && order.time_ms <= until_ms);
    for order in orders {
        let day = order.time_ms.div_euclid(DAY_MS);
        days += f64::from(u8::from(last != Some(day)));
        last = Some(day);
    }
    days
}

fn money(books: &[&OrderBook], at_ms: i64) -> Money {
    let pasts = books.iter().filter_map(|book| Past::of(book, at_ms));
    let spends: Vec<(f64, f64)> = pasts
        .filter(|past| past.mean_spend > 0.0)
        .map(|past| (past.repeats + 1.0, past.mean_spend))
        .collect();
    let mean = spends.iter().map(|spend| spend.1).sum::<f64>() / spends.len().max(1) as f64;
    GammaGamma::fit(&spends).map_or(Money::Mean(mean), Money::GammaGamma)
}
