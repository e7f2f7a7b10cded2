//! Asks for every list and scores it: one case for each user, or for each prefix of a session.

use std::time::Instant;

use rayon::prelude::*;

use super::metrics::{self, Metrics, System, Truth};
use crate::domain::history::{Past, standing};
use crate::domain::{EventKind, HistoryEvent, ItemIdx, UserIdx};
use crate::live::{Catalogue, Filter};
use crate::matrix::UserEvents;
use crate::model::{Ranking, Snapshot, Source, Window};
use crate::recommend::{self, Query, RepeatPolicy, Scratch, Shelf, related};

/// A list to ask for, and its ground truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The user, who is never their own neighbour; none: anonymous.
    pub user: Option<UserIdx>,
    /// The user's events so far, oldest first.
    pub history: Vec<HistoryEvent>,
    /// Items of the session so far, oldest first.
    pub session: Vec<ItemIdx>,
    /// The ground truth.
    pub truth: Truth,
    /// The next item, for MRR and hit rate; none: these use the ground truth.
    pub next: Option<Truth>,
}

/// A method that makes lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Distinct users of all time.
    Popularity,
    /// Distinct users of the last 30 days.
    Popularity30d,
    /// The user's most frequent purchases, then popularity.
    PersonalFrequency,
    /// One candidate source.
    Source(Source),
    /// The engine's own list.
    Blend,
}

impl Method {
    /// Name in tables and in `--methods`.
    pub fn name(self) -> &'static str {
        match self {
            Method::Popularity => "popularity",
            Method::Popularity30d => "popularity_30d",
            Method::PersonalFrequency => "personal_frequency",
            Method::Source(source) => source.name(),
            Method::Blend => "blend",
        }
    }
}

/// The metrics of a method at each k.
#[derive(Debug, Clone)]
pub struct Row {
    /// The method.
    pub method: Method,
    /// Its metrics at each k.
    pub at: Vec<AtK>,
    /// Median time of a list in microseconds, on one thread while others run.
    pub micros_per_list_p50: f64,
}

/// The metrics of a method for one length of lists.
#[derive(Debug, Clone)]
pub struct AtK {
    /// The length.
    pub k: usize,
    /// Mean metrics, in the order of [`Metrics::NAMES`].
    pub means: [f64; 7],
    /// 95 % intervals of the means.
    pub intervals: [(f64, f64); 7],
    /// Metrics of the method as a whole.
    pub system: System,
}

/// The setting in which lists are asked for.
#[derive(Debug)]
pub struct Harness<'a> {
    /// The training part of the log.
    pub events: &'a UserEvents,
    /// The trained snapshot.
    pub snapshot: &'a Snapshot,
    /// What items are, and which may be offered.
    pub catalogue: &'a Catalogue,
    /// Whether items of the user's past are offered.
    pub repeat: RepeatPolicy,
    /// Events that live state keeps of a user.
    pub history_limit: usize,
    /// Seed of the intervals.
    pub seed: u64,
}

impl Harness<'_> {
    /// Asks for the list of every case; calls `tick` after each.
    pub fn lists(
        &self,
        method: Method,
        cases: &[Case],
        k: usize,
        tick: &(dyn Fn() + Sync),
    ) -> (Vec<Vec<ItemIdx>>, f64) {
        let asked: Vec<(Vec<ItemIdx>, f64)> = cases
            .par_iter()
            .map_init(Scratch::default, |scratch, case| {
                let started = Instant::now();
                let list = self.list(method, case, k, scratch);
                tick();
                (list, started.elapsed().as_secs_f64() * 1e6)
            })
            .collect();

        let (lists, mut micros): (Vec<_>, Vec<f64>) = asked.into_iter().unzip();
        micros.sort_unstable_by(f64::total_cmp);
        (lists, micros.get(micros.len() / 2).copied().unwrap_or(0.0))
    }

    /// Scores a method at each of `ks`.
    pub fn row(
        &self,
        method: Method,
        cases: &[Case],
        ks: &[usize],
        tick: &(dyn Fn() + Sync),
    ) -> Row {
        let longest = ks.iter().copied().max().unwrap_or(0);
        let (lists, micros_per_list_p50) = self.lists(method, cases, longest, tick);
        Row { method, at: self.at_each(&lists, cases, ks), micros_per_list_p50 }
    }

    /// Scores the lists of all cases at each of `ks`.
    pub(super) fn at_each(&self, lists: &[Vec<ItemIdx>], cases: &[Case], ks: &[usize]) -> Vec<AtK> {
        let buyers = self.buyers();
        let at = ks.iter().map(|&k| {
            let scored: Vec<Metrics> =
                lists.iter().zip(cases).map(|(list, case)| score(list, case, k)).collect();
            AtK {
                k,
                means: metrics::mean(&scored),
                intervals: metrics::bootstrap(&scored, self.seed),
                system: metrics::system(lists, k, &buyers, self.events.users()),
            }
        });
        at.collect()
    }

    fn list(&self, method: Method, case: &Case, k: usize, scratch: &mut Scratch) -> Vec<ItemIdx> {
        let popularity = &self.snapshot.parts.popularity;
        let strategy = match method {
            Method::Source(source) => Some(source),
            _ => None,
        };
        self.ask(case, strategy, k, |query| {
            // Lists from rankings alone offer the same items as the engine's lists.
            let mut excluded = match self.repeat {
                RepeatPolicy::Allow => Vec::new(),
                _ => standing(&case.history),
            };
            excluded.extend(case.session.last());
            let shelf = Shelf { excluded: &excluded, ..query.shelf };
            let mut popular = |rankings: &[&Ranking]| {
                let rankings = rankings.iter().copied();
                related::from_rankings(rankings, k, &shelf, &mut scratch.mask)
            };

            let list = match method {
                Method::Popularity => popular(&[&popularity.all_time]),
                Method::Popularity30d => {
                    popular(&[popularity.window(Window::Days30), &popularity.all_time])
                }
                Method::PersonalFrequency => {
                    let own = frequency(query.history, self.events.items());
                    popular(&[&own, &popularity.all_time])
                }
                Method::Source(_) | Method::Blend => {
                    recommend::recommend(self.snapshot, query, scratch).items
                }
            };
            list.iter().map(|r| r.item).collect()
        })
    }

    /// Asks for the list of one case.
    pub fn ask<T>(
        &self,
        case: &Case,
        strategy: Option<Source>,
        limit: usize,
        answer: impl FnOnce(&Query<'_>) -> T,
    ) -> T {
        let past;
        let (history, bought) = if case.history.len() <= self.history_limit {
            (&case.history[..], &[][..])
        } else {
            past = Past::of(&case.history, self.history_limit);
            (&past.events[..], &past.bought[..])
        };

        let filter = Filter::default();
        let now_ms = self.snapshot.manifest.newest_ms;
        let shelf = Shelf::of(self.catalogue, self.events.items(), &filter, now_ms);
        answer(&Query {
            user: case.user,
            history,
            bought,
            session: &case.session,
            limit,
            strategy,
            repeat: self.repeat,
            ..Query::on(shelf)
        })
    }

    fn buyers(&self) -> Vec<u32> {
        let mut buyers = vec![0; self.events.items()];
        for user in 0..self.events.users() {
            let mut items: Vec<ItemIdx> = self.events.of(user).iter().map(|e| e.item).collect();
            items.sort_unstable();
            items.dedup();
            items.into_iter().for_each(|item| buyers[item as usize] += 1);
        }
        buyers
    }
}

/// The metrics of a case: of the ground truth, but MRR and hit rate of the next item where there is
/// one.
pub fn score(list: &[ItemIdx], case: &Case, k: usize) -> Metrics {
    let of_truth = metrics::score(list, &case.truth, k);
    match &case.next {
        None => of_truth,
        Some(next) => {
            let of_next = metrics::score(list, next, k);
            Metrics { mrr: of_next.mrr, hit_rate: of_next.hit_rate, ..of_truth }
        }
    }
}

/// Number of purchases of each item by a user.
fn frequency(history: &[HistoryEvent], items: usize) -> Ranking {
    let mut counts = vec![0.0f32; items];
    for event in history.iter().filter(|e| e.kind != EventKind::Refund) {
        counts[event.item as usize] += 1.0;
    }
    Ranking::new(counts)
}
