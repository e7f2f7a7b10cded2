//! When a user buys next, and when an item is due again: log-normal gaps between days with a purchase. A
//! user's own mean is drawn to that of all users, that of a pair of user and item to the item's, the item's to its
//! category's, the category's to the store's. How many gaps the wider mean stands for is the number that expects
//! the last known gaps of the store best.

use std::collections::HashMap;

use crate::domain::order::OrderBook;
use crate::domain::{DAY_MS, EventKind, HistoryEvent, ItemIdx};

/// Number of gaps that the mean of a category, or of the store, stands for.
const PRIOR: f64 = 8.0;
/// The numbers of gaps that are tried for the wider mean of a user or pair.
const PRIORS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
/// Maximum number of users, and of pairs, that they are tried on.
const MAX_TRIALS: usize = 100_000;
/// Spread of the logarithms where a store has too few gaps to say.
const USUAL_SPREAD: f64 = 1.0;
/// Minimum number of gaps for a spread of the store's own.
const MIN_GAPS: f64 = 20.0;

/// Logarithms of gaps in days, summed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Sum {
    count: f64,
    ln: f64,
}

impl Sum {
    fn add(&mut self, gap_days: f64) {
        self.count += 1.0;
        self.ln += gap_days.ln();
    }

    /// The mean, drawn to a wider one that stands for `prior` gaps.
    fn mean(&self, wider: f64, prior: f64) -> f64 {
        (self.ln + prior * wider) / (self.count + prior)
    }

    fn plain_mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.ln / self.count)
    }
}

/// Gaps of one kind: between orders, or between purchases of one item.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    /// Mean of the logarithms of all, each user or pair counting once.
    ln: f64,
    /// Standard deviation of the logarithms within a user or pair.
    spread: f64,
    /// Number of gaps that a wider mean stands for.
    prior: f64,
}

/// A user or pair whose last gap is known: what could have been expected of it.
#[derive(Debug, Clone, Copy)]
struct Trial {
    item: Option<ItemIdx>,
    before: Sum,
    last_gap: f64,
}

/// The gaps of a store.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GapModel {
    orders: Option<Kind>,
    items: Option<Kind>,
    /// Mean of the logarithms by item, drawn to its category's.
    by_item: HashMap<ItemIdx, f64>,
}

/// Collects the gaps of a store, user by user.
#[derive(Debug, Default)]
pub struct GapCounter {
    orders: Means,
    pairs: Means,
    by_item: HashMap<ItemIdx, Sum>,
}

/// Means of users or pairs, and the squares around them.
#[derive(Debug, Clone, Default)]
struct Means {
    /// The means, each counting once.
    of: Sum,
    squares: f64,
    freedom: f64,
    /// Evenly of all users or pairs: every `stride`-th, of which the `seen`-th comes next.
    trials: Vec<Trial>,
    stride: usize,
    seen: usize,
}

impl Means {
    fn add(&mut self, item: Option<ItemIdx>, gaps: &[f64]) {
        let mut own = Sum::default();
        gaps.iter().for_each(|gap| own.add(*gap));
        let Some(mean) = own.plain_mean() else { return };
        self.of.count += 1.0;
        self.of.ln += mean;
        self.squares += gaps.iter().map(|gap| (gap.ln() - mean).powi(2)).sum::<f64>();
        self.freedom += own.count - 1.0;

        if let [before @ .., last_gap] = gaps
            && !before.is_empty()
        {
            let mut sum = Sum::default();
            before.iter().for_each(|gap| sum.add(*gap));
            self.try_on(Trial { item, before: sum, last_gap: *last_gap });
        }
    }

    fn try_on(&mut self, trial: Trial) {
        self.stride = self.stride.max(1);
        if self.seen.is_multiple_of(self.stride) {
            self.trials.push(trial);
        }
        self.seen += 1;
        if self.trials.len() == MAX_TRIALS {
            let mut is_kept = false;
            self.trials.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.stride *= 2;
        }
    }

    /// The kind, whose prior is tried with the wider mean of each trial, which must not know its last gap.
    fn kind(&self, wider: impl Fn(&Trial, f64) -> f64) -> Option<Kind> {
        let ln = self.of.plain_mean()?;
        let spread = if self.freedom < MIN_GAPS {
            USUAL_SPREAD
        } else {
            (self.squares / self.freedom).sqrt()
        };

        let error = |prior: f64| {
            let mut errors: Vec<f64> = self
                .trials
                .iter()
                .map(|trial| {
                    let expected = trial.before.mean(wider(trial, ln), prior).exp();
                    (expected - trial.last_gap).abs()
                })
                .collect();
            let middle = errors.len() / 2;
            errors.select_nth_unstable_by(middle, f64::total_cmp);
            errors[middle]
        };

        let prior = if self.trials.len() < MIN_GAPS as usize {
            PRIOR
        } else {
            let tried = PRIORS.map(|prior| (error(prior), prior));
            tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map_or(PRIOR, |best| best.1)
        };
        Some(Kind { ln, spread, prior })
    }
}

/// Purchases by user's item: the item, and the days, ascending.
pub fn days_by_item(history: &[HistoryEvent]) -> Vec<(ItemIdx, Vec<i64>)> {
    let bought = history.iter().filter(|e| e.kind == EventKind::Purchase);
    let mut bought: Vec<(ItemIdx, i64)> =
        bought.map(|e| (e.item, e.time_ms.div_euclid(DAY_MS))).collect();
    bought.sort_unstable();
    bought.dedup();
    let groups = bought.chunk_by(|a, b| a.0 == b.0);
    groups.map(|group| (group[0].0, group.iter().map(|each| each.1).collect())).collect()
}

/// The days with an order that stands, ascending.
pub fn days_of(book: &OrderBook) -> Vec<i64> {
    let mut days: Vec<i64> =
        book.standing().map(|order| order.time_ms().div_euclid(DAY_MS)).collect();
    days.dedup();
    days
}

fn gaps(days: &[i64]) -> Vec<f64> {
    days.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect()
}

impl GapCounter {
    /// Counts a user.
    pub fn add(&mut self, book: &OrderBook, history: &[HistoryEvent]) {
        self.add_days(&days_of(book), &days_by_item(history));
    }

    /// Counts a user by the days of their orders, and of their purchases of each item.
    pub fn add_days(&mut self, orders: &[i64], items: &[(ItemIdx, Vec<i64>)]) {
        self.orders.add(None, &gaps(orders));
        for (item, days) in items {
            let gaps = gaps(days);
            if !gaps.is_empty() {
                self.pairs.add(Some(*item), &gaps);
                let sum = self.by_item.entry(*item).or_default();
                gaps.iter().for_each(|gap| sum.add(*gap));
            }
        }
    }

    /// The model. `category` names the most specific category of an item.
    pub fn finish(self, category: impl Fn(ItemIdx) -> Option<String>) -> GapModel {
        let orders = self.orders.kind(|_, ln| ln);
        let Some(store_ln) = self.pairs.of.plain_mean() else {
            return GapModel { orders, ..GapModel::default() };
        };
        let mut categories: HashMap<String, Sum> = HashMap::new();
        let mut named = Vec::with_capacity(self.by_item.len());
        // Sums of floating-point numbers depend on their order.
        let mut items: Vec<(ItemIdx, Sum)> = self.by_item.into_iter().collect();
        items.sort_unstable_by_key(|item| item.0);
        for (item, sum) in items {
            let name = category(item).unwrap_or_default();
            let all = categories.entry(name.clone()).or_default();
            all.count += sum.count;
            all.ln += sum.ln;
            named.push((item, name, sum));
        }

        let sums = named.into_iter().map(|(item, name, sum)| {
            let wider = categories.get(&name).map_or(store_ln, |all| all.mean(store_ln, PRIOR));
            (item, (sum, wider))
        });
        let sums: HashMap<ItemIdx, (Sum, f64)> = sums.collect();
        let items = self.pairs.kind(|trial, ln| {
            let Some((sum, wider)) = trial.item.and_then(|item| sums.get(&item)) else { return ln };
            let before = Sum { count: sum.count - 1.0, ln: sum.ln - trial.last_gap.ln() };
            before.mean(*wider, PRIOR)
        });
        let by_item = sums.into_iter().map(|(item, (sum, wider))| (item, sum.mean(wider, PRIOR)));
        GapModel { orders, items, by_item: by_item.collect() }
    }
}

impl GapModel {
    /// The next order of a user with orders on these days, in days since 1970, fractions included, if they had
    /// none until `today`; none where no user ordered twice.
    pub fn next_order(&self, days: &[i64], today: f64) -> Option<f64> {
        next(self.orders?, self.orders?.ln, days, today)
    }

    /// When an item that a user bought on these days is due again. See [`GapModel::next_order`].
    pub fn next_of_item(&self, item: ItemIdx, days: &[i64], today: f64) -> Option<f64> {
        let kind = self.items?;
        let wider = self.by_item.get(&item).copied().unwrap_or(kind.ln);
        next(kind, wider, days, today)
    }

    /// The usual gap of a user and an item in days.
    pub fn usual_days(&self, item: ItemIdx, days: &[i64]) -> Option<f64> {
        let kind = self.items?;
        let wider = self.by_item.get(&item).copied().unwrap_or(kind.ln);
        Some(usual(kind, wider, days))
    }
}

fn usual(kind: Kind, wider: f64, days: &[i64]) -> f64 {
    let mut own = Sum::default();
    gaps(days).into_iter().for_each(|gap| own.add(gap));
    own.mean(wider, kind.prior).exp()
}

/// The last day and the median of the gap that follows it, given that it is longer than the time since.
fn next(kind: Kind, wider: f64, days: &[i64], today: f64) -> Option<f64> {
    use statrs::distribution::{ContinuousCDF, LogNormal};
    let last = *days.last()? as f64;
    let median = usual(kind, wider, days);
    let waited = today - last;
    if waited <= 0.0 {
        return Some(last + median);
    }
    let gap = LogNormal::new(median.ln(), kind.spread.max(0.05)).ok()?;
    let survived = 1.0 - gap.cdf(waited);
    // Far beyond every known gap nothing more can be read off.
    let rest = if survived < 1e-9 { waited * 2.0 } else { gap.inverse_cdf(1.0 - survived / 2.0) };
    Some(last + rest.max(waited))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::{Paid, Trade};

    fn model() -> GapModel {
        let mut counter = GapCounter::default();
        for user in 0..40i64 {
            let mut book = OrderBook::default();
            let mut history = Vec::new();
            // Item 1 every ten days, item 2 every forty, more or less.
            for n in 0..9i64 {
                let day = n * 10 + (n * user) % 3;
                let trade = Trade {
                    time_ms: day * DAY_MS,
                    order: Some((n as u32 + 1, 0)),
                    units: 1.0,
                    paid: Paid::Exact(1.0),
                };
                book.note(trade);
                history.push(HistoryEvent::new(EventKind::Purchase, 1, day * DAY_MS));
                if n % 4 == 0 {
                    history.push(HistoryEvent::new(EventKind::Purchase, 2, day * DAY_MS));
                }
            }
            counter.add(&book, &history);
        }
        counter.finish(|item| (item < 3).then(|| "tea".to_owned()))
    }

    #[test]
    fn gaps_are_those_of_the_user_the_item_and_the_store() {
        let model = model();
        let days = |next: Option<f64>| next.unwrap().round() as i64;
        assert_eq!(days(model.next_order(&[100, 110, 120], 120.0)), 130);
        assert!((136..=140).contains(&days(model.next_of_item(2, &[100], 100.0))));
        // One who buys twice a week is drawn to the store, and then followed.
        let often: Vec<i64> = (0..40).map(|n| n * 3).collect();
        let next = model.next_order(&often, 117.0).unwrap() - 117.0;
        assert!((3.0..6.0).contains(&next), "{next}");
        // An item that no one bought twice has the store's gap.
        assert!(model.next_of_item(9, &[100], 100.0).is_some());
        assert_eq!(GapModel::default().next_order(&[1], 2.0), None);
    }

    #[test]
    fn what_is_overdue_is_expected_later_than_now() {
        let model = model();
        let mut before = 120.0;
        for waited in [0.0, 5.0, 12.0, 40.0, 4_000.0] {
            let next = model.next_order(&[100, 110, 120], 120.0 + waited).unwrap();
            assert!(
                next >= before && next >= 120.0 + waited && next.is_finite(),
                "{waited} {next}"
            );
            before = next;
        }
    }
}
