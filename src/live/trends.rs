//! What is taken now, by everyone and by shoppers alike in what is known of them: sums over
//! events that fade with a half-life of a week.
//!
//! A cohort is what shoppers share of the attributes that count, in their order: of
//! (segment, country, device), all three, the first two, the first. A list for a shopper who
//! has done nothing goes from the narrowest cohort that has enough behind it to the wider
//! ones (back-off), and to everyone.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;

use crate::domain::topk::{Scored, Threshold, keep_top};
use crate::domain::{DAY_MS, ItemIdx};

/// Days after which an event counts half.
const HALF_LIFE_DAYS: f64 = 7.0;
/// Events that a cohort must have for its taste to be more than chance.
const SUPPORT: u64 = 20;
/// Cohorts that are kept: those that came first.
const COHORTS: usize = 10_000;
/// Half-lives after which sums are rewritten, since an f64 holds some thousand.
const MOST_HALF_LIVES: f64 = 500.0;
/// Items of a ranking.
const RANKED: usize = 1_000;
/// How long a ranking is good for, in milliseconds.
const GOOD_MS: i64 = 1_000;

/// What is taken now.
#[derive(Debug, Default)]
pub struct Trends {
    everyone: Counts<Vec<f64>>,
    cohorts: AHashMap<String, Counts<AHashMap<ItemIdx, f64>>>,
    /// A moment: events count by how long after it they were, so that what is summed need
    /// not fade.
    base_ms: Option<i64>,
}

/// What a cohort takes, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// The cohort, as "segment=new, country=SE"; empty: everyone.
    pub cohort: String,
    /// Items.
    pub items: Arc<Vec<Scored>>,
}

#[derive(Debug, Default)]
struct Counts<T> {
    sums: T,
    events: u64,
    ranking: Mutex<Cached>,
}

/// A ranking, and when of how many events it was made.
#[derive(Debug, Default)]
struct Cached {
    items: Arc<Vec<Scored>>,
    made_ms: i64,
    events: u64,
}

impl<T> Counts<T> {
    /// The best items of these `sums`, as they were a moment ago.
    fn ranking(
        &self,
        now_ms: i64,
        sums: impl Iterator<Item = (ItemIdx, f64)> + Clone,
    ) -> Arc<Vec<Scored>> {
        let mut cached = self.ranking.lock();
        let young = (now_ms - cached.made_ms).abs() < GOOD_MS;
        if cached.events != self.events && !young {
            // Writers wait meanwhile: nothing is copied but what may be among the best.
            let most = sums.clone().map(|(_, sum)| sum).fold(0.0, f64::max);
            let mut items = Vec::new();
            let mut best = Threshold::new(RANKED);
            for (idx, sum) in sums.filter(|(_, sum)| *sum > 0.0) {
                // Shares of the best: the sums themselves may be beyond what an f32 holds.
                best.push(&mut items, Scored { idx, score: (sum / most) as f32 });
            }
            keep_top(&mut items, RANKED);
            *cached = Cached { items: Arc::new(items), made_ms: now_ms, events: self.events };
        }
        cached.items.clone()
    }
}

impl Trends {
    /// A shopper of these cohorts took an item; `weight` is what the event's kind says.
    pub fn note(&mut self, item: ItemIdx, weight: f32, time_ms: i64, cohorts: &[String]) {
        let base_ms = *self.base_ms.get_or_insert(time_ms);
        let mut half_lives = (time_ms - base_ms) as f64 / (HALF_LIFE_DAYS * DAY_MS as f64);
        if half_lives > MOST_HALF_LIVES {
            self.rebase(time_ms, (-half_lives).exp2());
            half_lives = 0.0;
        }
        let sum = f64::from(weight) * half_lives.max(-MOST_HALF_LIVES).exp2();
        let everyone = &mut self.everyone.sums;
        if everyone.len() <= item as usize {
            everyone.resize(item as usize + 1, 0.0);
        }
        everyone[item as usize] += sum;
        self.everyone.events += 1;
        for cohort in cohorts {
            if !self.cohorts.contains_key(cohort) {
                if self.cohorts.len() == COHORTS {
                    continue;
                }
                self.cohorts.insert(cohort.clone(), Counts::default());
            }
            let Some(counts) = self.cohorts.get_mut(cohort) else { continue };
            *counts.sums.entry(item).or_default() += sum;
            counts.events += 1;
        }
    }

    /// Counts from another moment on; what was summed is worth this share then.
    fn rebase(&mut self, base_ms: i64, share: f64) {
        self.base_ms = Some(base_ms);
        self.everyone.sums.iter_mut().for_each(|sum| *sum *= share);
        let cohorts = self.cohorts.values_mut();
        cohorts.for_each(|counts| counts.sums.values_mut().for_each(|sum| *sum *= share));
    }

    /// What these cohorts take, the narrowest first, and everyone.
    pub fn of(&self, cohorts: &[String], now_ms: i64) -> Vec<Trend> {
        let known = cohorts.iter().filter_map(|name| Some((name, self.cohorts.get(name)?)));
        let supported = known.filter(|(_, counts)| counts.events >= SUPPORT);
        let narrow = supported.map(|(name, counts)| {
            let sums = counts.sums.iter().map(|(&idx, &sum)| (idx, sum));
            Trend { cohort: name.clone(), items: counts.ranking(now_ms, sums) }
        });
        let sums = (0..).zip(self.everyone.sums.iter().copied());
        let everyone = Trend { cohort: String::new(), items: self.everyone.ranking(now_ms, sums) };
        narrow.chain([everyone]).collect()
    }
}

/// The cohorts of a shopper with these attributes, the narrowest first; `counting`: the
/// attributes that count, the one to give up last first.
pub fn cohorts(attributes: &BTreeMap<String, String>, counting: &[String]) -> Vec<String> {
    let mut cohorts = Vec::new();
    let mut name = String::new();
    for key in counting {
        let Some(value) = attributes.get(key) else { continue };
        if !name.is_empty() {
            name += ", ";
        }
        name += &format!("{key}={value}");
        cohorts.push(name.clone());
    }
    cohorts.reverse();
    cohorts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pairs: &[(&str, &str)]) -> Vec<String> {
        let attributes = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let counting = ["segment", "country"].map(str::to_owned);
        cohorts(&attributes, &counting)
    }

    #[test]
    fn cohorts_are_given_up_one_attribute_at_a_time() {
        assert_eq!(
            names(&[("country", "SE"), ("age", "7"), ("segment", "new")]),
            ["segment=new, country=SE", "segment=new"]
        );
        assert_eq!(names(&[("country", "SE")]), ["country=SE"]);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn what_a_cohort_takes_comes_before_what_everyone_takes() {
        let mut trends = Trends::default();
        let (se, no) = (names(&[("country", "SE")]), names(&[("country", "NO")]));
        for n in 0..SUPPORT as i64 {
            trends.note(1, 1.0, n, &se);
            trends.note(2, 1.0, n, &[]);
            trends.note(2, 1.0, n, &[]);
        }
        trends.note(3, 1.0, 0, &no);
        let of = |trends: &Trends, cohorts: &[String], now_ms| -> Vec<(String, Vec<u32>)> {
            let found = trends.of(cohorts, now_ms).into_iter();
            found.map(|t| (t.cohort, t.items.iter().map(|s| s.idx).collect())).collect()
        };
        let everyone = (String::new(), vec![2, 1, 3]);
        assert_eq!(of(&trends, &se, 5_000), [("country=SE".into(), vec![1]), everyone.clone()]);
        assert_eq!(of(&trends, &no, 5_000), std::slice::from_ref(&everyone), "one is chance");
        // A fortnight later one event counts as much as four of then.
        for _ in 0..12 {
            trends.note(3, 1.0, 14 * DAY_MS, &[]);
        }
        assert_eq!(of(&trends, &[], 5_500), [everyone], "a ranking is good for a second");
        assert_eq!(of(&trends, &[], 6_000)[0].1, [3, 2, 1]);
        // However far apart events are, the newer count more.
        trends.note(4, 1.0, 4_000 * 7 * DAY_MS, &[]);
        trends.note(5, 1.0, 4_001 * 7 * DAY_MS, &[]);
        trends.note(6, 1.0, 0, &[]);
        assert_eq!(of(&trends, &[], 9_000)[0].1[..2], [5, 4]);
    }
}
