//! What is taken now, by everyone and by cohorts: sums over events that fade with a half-life of a
//! week.
//!
//! One user's events never decide what everyone is shown: the weight of a trend is the share of
//! enough distinct recent users ([`Trend::support`]); the rest of the weight is the model's.
//! Repeated views of an item by one user count once.
//!
//! A cohort is a set of attribute values, from all configured attributes to fewer: of (segment,
//! country, device), all three, the first two, the first. A list for a user without events goes
//! from the narrowest cohort with enough support to wider ones (back-off), and to everyone.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::domain::topk::{Scored, Threshold, keep_top};
use crate::domain::{DAY_MS, ItemIdx, UserIdx};

/// Half-life of events in days.
const HALF_LIFE_DAYS: f64 = 7.0;
/// Events that a cohort needs for its taste to be more than chance, and the support that it needs.
const COHORT_EVENTS: u64 = 20;
const COHORT_SUPPORT: f32 = 0.5;
/// Distinct recent users, each faded since their last event, whose support is 1.
const ENOUGH: f64 = 10.0;
/// Newest distinct users that are remembered for the support.
const REMEMBERED: usize = 20;
/// Maximum number of cohorts; the first ones are kept.
const COHORTS: usize = 10_000;
/// Half-lives after which sums are rescaled, since an f64 holds some thousand.
const MAX_HALF_LIVES: f64 = 500.0;
/// Items of a ranking.
const RANKED: usize = 1_000;
/// Time for which a ranking is reused, in milliseconds.
const GOOD_MS: i64 = 1_000;

/// What is taken now.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Trends {
    everyone: FadedSums<Vec<f64>>,
    cohorts: AHashMap<String, FadedSums<AHashMap<ItemIdx, f64>>>,
    /// Reference time: events count by how long after it they were, so that sums need not fade.
    base_ms: Option<i64>,
}

/// What a cohort takes, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// The cohort, as "segment=new, country=SE"; empty: everyone.
    pub cohort: String,
    /// Items, with scores as a share of the best one's.
    pub items: Arc<Vec<Scored>>,
    /// Weight of the trend, from 0 (one user, or only old events) to 1.
    pub support: f32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct FadedSums<T> {
    sums: T,
    events: u64,
    newest: Newest,
    #[serde(skip)]
    ranking: Mutex<Cached>,
}

/// The newest distinct users, with the time of the last event of each.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Newest(Vec<(UserIdx, i64)>);

impl Newest {
    fn note(&mut self, user: UserIdx, time_ms: i64) {
        let Self(seen) = self;
        if let Some((_, last_ms)) = seen.iter_mut().find(|(known, _)| *known == user) {
            *last_ms = time_ms.max(*last_ms);
            return;
        }
        if seen.len() < REMEMBERED {
            seen.push((user, time_ms));
            return;
        }

        let oldest = seen.iter_mut().min_by_key(|(_, last_ms)| *last_ms);
        if let Some(oldest) = oldest.filter(|(_, last_ms)| *last_ms <= time_ms) {
            *oldest = (user, time_ms);
        }
    }

    /// Their number as a share of enough, 0 to 1, as of the newest event.
    fn support(&self) -> f32 {
        let newest_ms = self.0.iter().map(|(_, last_ms)| *last_ms).max().unwrap_or(0);
        let faded = |(_, last_ms): &(UserIdx, i64)| (-half_lives(newest_ms - last_ms)).exp2();
        let users: f64 = self.0.iter().map(faded).sum();
        (users / ENOUGH).min(1.0) as f32
    }
}

fn half_lives(ms: i64) -> f64 {
    ms as f64 / (HALF_LIFE_DAYS * DAY_MS as f64)
}

/// A ranking, with the time and the number of events that it was computed from.
#[derive(Debug, Default)]
struct Cached {
    items: Arc<Vec<Scored>>,
    made_ms: i64,
    events: u64,
}

impl<T> FadedSums<T> {
    /// The best items of these `sums`, at most a moment old.
    fn ranking(
        &self,
        now_ms: i64,
        sums: impl Iterator<Item = (ItemIdx, f64)> + Clone,
    ) -> Arc<Vec<Scored>> {
        let mut cached = self.ranking.lock();
        let young = (now_ms - cached.made_ms).abs() < GOOD_MS;
        if cached.events != self.events && !young {
            // Writers wait meanwhile: only candidates for the best are copied.
            let max = sums.clone().map(|(_, sum)| sum).fold(0.0, f64::max);

            let mut items = Vec::new();
            let mut best = Threshold::new(RANKED);
            for (idx, sum) in sums.filter(|(_, sum)| *sum > 0.0) {
                // Shares of the best: the sums may be beyond the range of f32. Items too old to
                // have a share are left to the model.
                let score = (sum / max) as f32;
                if score > 0.0 {
                    best.push(&mut items, Scored { idx, score });
                }
            }

            keep_top(&mut items, RANKED);
            *cached = Cached { items: Arc::new(items), made_ms: now_ms, events: self.events };
        }
        cached.items.clone()
    }
}

impl Trends {
    /// Notes that a user of these cohorts took an item; `weight` is that of the event's kind.
    pub fn note(
        &mut self,
        user: UserIdx,
        item: ItemIdx,
        weight: f32,
        time_ms: i64,
        cohorts: &[String],
    ) {
        let base_ms = *self.base_ms.get_or_insert(time_ms);
        let mut later = half_lives(time_ms - base_ms);
        if later > MAX_HALF_LIVES {
            self.rebase(time_ms, (-later).exp2());
            later = 0.0;
        }

        let sum = f64::from(weight) * later.max(-MAX_HALF_LIVES).exp2();
        let everyone = &mut self.everyone.sums;
        if everyone.len() <= item as usize {
            everyone.resize(item as usize + 1, 0.0);
        }

        everyone[item as usize] += sum;
        self.everyone.events += 1;
        self.everyone.newest.note(user, time_ms);

        for cohort in cohorts {
            if !self.cohorts.contains_key(cohort) {
                if self.cohorts.len() == COHORTS {
                    continue;
                }
                self.cohorts.insert(cohort.clone(), FadedSums::default());
            }
            let Some(counts) = self.cohorts.get_mut(cohort) else { continue };
            *counts.sums.entry(item).or_default() += sum;
            counts.events += 1;
            counts.newest.note(user, time_ms);
        }
    }

    /// Moves the reference time; sums are multiplied by this share.
    fn rebase(&mut self, base_ms: i64, share: f64) {
        self.base_ms = Some(base_ms);
        self.everyone.sums.iter_mut().for_each(|sum| *sum *= share);
        let cohorts = self.cohorts.values_mut();
        cohorts.for_each(|counts| counts.sums.values_mut().for_each(|sum| *sum *= share));
    }

    /// What these cohorts take, narrowest first, and everyone.
    pub fn of(&self, cohorts: &[String], now_ms: i64) -> Vec<Trend> {
        let known = cohorts.iter().filter_map(|name| Some((name, self.cohorts.get(name)?)));
        let supported = known.filter(|(_, counts)| {
            counts.events >= COHORT_EVENTS && counts.newest.support() >= COHORT_SUPPORT
        });
        let narrow = supported.map(|(name, counts)| {
            let sums = counts.sums.iter().map(|(&idx, &sum)| (idx, sum));
            Trend { cohort: name.clone(), items: counts.ranking(now_ms, sums), support: 1.0 }
        });

        let sums = (0..).zip(self.everyone.sums.iter().copied());
        let everyone = Trend {
            cohort: String::new(),
            items: self.everyone.ranking(now_ms, sums),
            support: self.everyone.newest.support(),
        };
        narrow.chain([everyone]).collect()
    }
}

/// The cohorts of a user with these attributes, narrowest first; `counting`: the attributes that
/// define cohorts, the one dropped first last.
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
        let se = names(&[("country", "SE")]);
        let no = names(&[("country", "NO")]);

        for n in 0..COHORT_EVENTS as u32 {
            trends.note(n, 1, 1.0, n.into(), &se);
            trends.note(n, 2, 1.0, n.into(), &[]);
            trends.note(n, 2, 1.0, n.into(), &[]);
        }

        trends.note(0, 3, 1.0, 0, &no);
        let of = |trends: &Trends, cohorts: &[String], now_ms| -> Vec<(String, Vec<u32>)> {
            let found = trends.of(cohorts, now_ms).into_iter();
            found.map(|t| (t.cohort, t.items.iter().map(|s| s.idx).collect())).collect()
        };
        let everyone = (String::new(), vec![2, 1, 3]);
        assert_eq!(of(&trends, &se, 5_000), [("country=SE".into(), vec![1]), everyone.clone()]);
        assert_eq!(of(&trends, &no, 5_000), std::slice::from_ref(&everyone), "one is chance");

        // A fortnight later one event counts as much as four of that time.
        for n in 0..12 {
            trends.note(n, 3, 1.0, 14 * DAY_MS, &[]);
        }

        assert_eq!(of(&trends, &[], 5_500), [everyone], "a ranking is good for a second");
        assert_eq!(of(&trends, &[], 6_000)[0].1, [3, 2, 1]);
        // However far apart events are, newer ones count more.
        trends.note(0, 4, 1.0, 4_000 * 7 * DAY_MS, &[]);
        trends.note(0, 5, 1.0, 4_001 * 7 * DAY_MS, &[]);
        trends.note(0, 6, 1.0, 0, &[]);
        assert_eq!(of(&trends, &[], 9_000)[0].1[..2], [5, 4]);
    }

    #[test]
    fn one_user_is_no_trend_and_many_are() {
        let mut trends = Trends::default();
        let support = |trends: &Trends| trends.of(&[], 0)[0].support;
        for n in 0..100 {
            trends.note(7, n, 1.0, i64::from(n), &[]);
        }

        assert!(support(&trends) < 0.11, "a crawler");
        for user in 0..30 {
            trends.note(user, user, 1.0, 0, &[]);
        }

        assert_eq!(support(&trends), 1.0);
        // Years later one event, and then those of other users.
        let years = 1_500 * DAY_MS;
        trends.note(99, 5, 1.0, years, &[]);
        assert!((support(&trends) - 0.1).abs() < 0.01);

        for user in 0..12 {
            trends.note(user, 6, 1.0, years + DAY_MS, &[]);
        }

        assert_eq!(support(&trends), 1.0);
        // A late event with an old time removes nothing.
        trends.note(500, 5, 1.0, 0, &[]);
        assert_eq!(support(&trends), 1.0);
    }
}
