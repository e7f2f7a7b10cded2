//! The models of a store. Each is fitted to the log until a cut and compared on the time after it; those that
//! were right most are fitted again to the whole log and answer.

use super::fitted::{Fitted, MIN_USERS, Method};
use super::gamma_gamma::GammaGamma;
use super::held_out::{Choice, HeldOut, Tried, agreed};
use super::past::Past;
use super::spread::Spread;
use super::trees::features;
use crate::domain::DAY_MS;
use crate::domain::order::OrderBook;

/// Longest and shortest held-out time, in days.
const HORIZON_DAYS: (i64, i64) = (90, 7);
/// Part of the log's time that is held out.
const HELD_OUT: i64 = 4;
/// Maximum number of users that models are fitted to; of more, every n-th.
const SAMPLE: usize = 50_000;

/// The models of a store.
#[derive(Debug)]
pub struct ValueModels {
    /// Until when the log was read, in milliseconds since 1970.
    pub as_of_ms: i64,
    /// Length of the held-out time, in days; 0 where the log is too short.
    pub horizon_days: u32,
    /// Every method on held-out time.
    pub tried: Vec<Tried>,
    /// The method whose numbers of purchases, by their medians, were nearest.
    pub purchases_by: Method,
    /// The method whose chances to buy again told users apart best.
    pub again_by: Method,
    pub(super) fitted: Fitted,
    pub(super) spread: Spread,
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
    /// The median of such numbers.
    pub purchases_median: u32,
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

/// What users spend at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Money {
    GammaGamma(GammaGamma),
    /// The mean of all users, which a user's own is drawn to.
    Mean(f64),
}

/// Number of purchases that the mean of all users stands for, where gamma-gamma does not fit.
const MEAN_WEIGHT: f64 = 3.0;

/// At most 50,000 of the books, evenly.
pub fn sampled<'a>(books: impl ExactSizeIterator<Item = &'a OrderBook>) -> Vec<&'a OrderBook> {
    let step = books.len().div_ceil(SAMPLE).max(1);
    books.step_by(step).collect()
}

impl ValueModels {
    /// Fits every method to the orders of users until `now_ms`, of which the first is at `since_ms`.
    pub fn fit(books: &[&OrderBook], since_ms: i64, now_ms: i64) -> Self {
        let books = sampled(books.iter().copied());
        let span = (now_ms - since_ms) / DAY_MS;
        let days = (span / HELD_OUT).min(HORIZON_DAYS.0);
        let horizon_ms = if days < HORIZON_DAYS.1 { 0 } else { days * DAY_MS };

        let fitted = Fitted::fit(&books, since_ms, now_ms, horizon_ms);
        // Days are not cut in two: the last moment of a day.
        let cut_ms = (now_ms - horizon_ms).div_euclid(DAY_MS) * DAY_MS - 1;
        let held_out = HeldOut::of(&books, cut_ms, cut_ms + horizon_ms);
        let (tried, choice) = if horizon_ms > 0 && held_out.pasts.len() >= MIN_USERS {
            let before = Fitted::fit(&books, since_ms, cut_ms, horizon_ms);
            let predicted = held_out.predicted(&before, (horizon_ms / DAY_MS) as f64);
            // What cannot be fitted to the whole log does not answer.
            let choice = held_out.choose(&predicted, |method| fitted.has(method));
            (held_out.tried(&predicted), choice)
        } else {
            let failure = "the log is too short, or has too few buyers, to hold time out";
            let none = |method| Tried { method, accuracy: None, failure: failure.to_owned() };
            (Method::ALL.map(none).to_vec(), Choice::default())
        };

        Self {
            as_of_ms: now_ms,
            horizon_days: (horizon_ms / DAY_MS) as u32,
            purchases_by: choice.purchases_by,
            again_by: choice.again_by,
            spread: choice.spread,
            tried,
            fitted,
            money: money(&books, now_ms),
        }
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
            let (again, purchases) = self.expected(&past, by_trees, days);
            // One who buys nothing with a probability above 10 % is among the middle 80 % too.
            let (low, high) = self.spread.interval(purchases);
            let low = if again < 0.9 { 0 } else { low.min(purchases as u32) };
            let high = high.max(purchases.ceil() as u32);
            Horizon {
                days,
                again,
                purchases,
                purchases_median: self.spread.median(purchases),
                purchases_range: (low, high),
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

impl ValueModels {
    /// Expected number of days with a purchase, of the `days` after `at_ms`; none before the first purchase.
    pub fn purchases(&self, book: &OrderBook, at_ms: i64, days: u32) -> Option<f64> {
        let past = Past::of(book, at_ms)?;
        let row = features(book, &past, at_ms);
        let by_trees = self.fitted.by_trees(&[row]).map(|rows| rows[0]);
        Some(self.expected(&past, by_trees, days).1)
    }

    /// The chance to buy again in a number of days, and the number of days with a purchase.
    fn expected(&self, past: &Past, by_trees: Option<(f64, f64)>, days: u32) -> (f64, f64) {
        let ask = |method| self.fitted.predict(method, past, by_trees, f64::from(days));
        let again = ask(self.again_by).0;
        (again, agreed(again, ask(self.purchases_by).1))
    }
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
