//! Trials: a snapshot on which each source's hyperparameters are tried one after the other on
//! held-out cases, and the best kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::blend::Proposals;
use super::compare::{is_better, mean};
use super::second_stage::StageCase;
use crate::domain::progress::{Control, Stage};
use crate::domain::topk::Scored;
use crate::evaluate::harness::Harness;
use crate::evaluate::{Case, Method, metrics};
use crate::live::Catalogue;
use crate::model::{Manifest, Parts, Pushed, SecondStage, Settings, Snapshot, Source};
use crate::recommend::{self, RepeatPolicy, Scratch};
use crate::sources::search_space::Hyperparameter;
use crate::sources::{self, TrainingJob};
use crate::train::{TrainError, TrainingData, habits};

/// Length of the lists that trials are judged by.
const K: usize = 10;
/// A trial uses one case in this many; cases come in random order.
const TRIAL_SHARE: usize = 2;
/// Maximum number of items of EASE in a tuning: its cost grows with their cube.
const EASE_ITEMS: usize = 4_000;
/// Maximum number of examples that the vectors of sequences learn from in a tuning.
const SEQUENCE_VISITS: usize = 2_000_000;
/// Maximum number of items of EASE while its hyperparameters are tried.
const EASE_TRIAL_ITEMS: usize = 2_000;

/// A snapshot for trials, and the cases that it is judged by.
pub struct TrialSnapshot<'a> {
    data: &'a TrainingData<'a>,
    snapshot: Snapshot,
    /// Offers every item.
    catalogue: Catalogue,
    sources: &'a [Source],
    context: TrialContext<'a>,
}

/// What trials are judged by.
#[derive(Clone, Copy)]
pub struct TrialContext<'a> {
    /// Whether items of the user's past are offered.
    pub repeat: RepeatPolicy,
    /// The held-out cases, in random order.
    pub cases: &'a [Case],
    /// Whether times order the events: otherwise half-lives mean nothing.
    pub ordered: bool,
    /// Seed of every draw.
    pub seed: u64,
    /// Reports progress and cancels.
    pub control: &'a Control<'a>,
}

/// A change of settings that is tried.
struct Trial {
    source: Source,
    /// Its name, for log lines.
    name: &'static str,
    retrains: bool,
    /// Minimum relative gain.
    min_gain: f64,
}

/// The budget of a tuning.
#[derive(Debug)]
pub struct Budget {
    /// Maximum number of trials.
    trials: usize,
    /// The time limit.
    until: Option<Instant>,
    /// What was used of it.
    pub spent: Spent,
}

/// What was used of the budget of a tuning.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Trials made.
    pub tried: usize,
    /// Whether the time limit ended it.
    pub capped: bool,
}

impl Budget {
    /// A budget of trials, and of a duration.
    pub fn new(trials: usize, longest: Option<Duration>) -> Self {
        let until = longest.map(|longest| Instant::now() + longest);
        Self { trials, until, spent: Spent::default() }
    }

    /// Takes one trial, if there is one.
    fn take(&mut self) -> bool {
        let Spent { tried, capped } = &mut self.spent;
        if *tried >= self.trials || *capped {
            return false;
        }
        *capped = self.until.is_some_and(|until| Instant::now() >= until);
        if !*capped {
            *tried += 1;
        }
        !*capped
    }
}

impl<'a> TrialSnapshot<'a> {
    /// Trains `sources` with `start`: only the parts that trials and second stages need.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`], or a factorisation that failed.
    pub fn new(
        data: &'a TrainingData<'a>,
        start: Settings,
        sources: &'a [Source],
        context: TrialContext<'a>,
    ) -> Result<Self, TrainError> {
        let mut settings = start;
        settings.ease.items = settings.ease.items.min(EASE_ITEMS);
        settings.sequence.visits = settings.sequence.visits.min(SEQUENCE_VISITS);
        let manifest = Manifest {
            newest_ms: data.now_ms(),
            seed: context.seed,
            settings,
            ..Manifest::default()
        };

        let snapshot = Snapshot { manifest, parts: Parts::default() };
        context.control.begin(Stage::Tune)?;
        let catalogue = Catalogue::default();
        let mut trials = Self { data, snapshot, catalogue, sources, context };
        trials.rebuild(Source::Popular, settings)?;

        for &source in sources {
            trials.rebuild(source, settings)?;
        }

        // User CF knows which items have events at all.
        for source in [Source::UserCf, Source::Session] {
            if !sources.contains(&source) {
                trials.rebuild(source, settings)?;
            }
        }
        trials.snapshot.parts.habits = Arc::new(habits::train(data.events()));
        Ok(trials)
    }

    /// The best settings found.
    pub fn settings(&self) -> Settings {
        self.snapshot.manifest.settings
    }

    /// Searches the hyperparameters of every source from their current values, those that retrain
    /// only if `retrain`; returns the quality of each source alone.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`], or a factorisation that failed.
    pub fn tune(
        &mut self,
        retrain: bool,
        budget: &mut Budget,
    ) -> Result<BTreeMap<String, f64>, TrainError> {
        let mut quality = BTreeMap::new();
        let ordered = self.context.ordered;
        for &source in self.sources {
            let ease_items = self.settings().ease.items;
            if source == Source::Ease && retrain {
                self.resize_ease(EASE_TRIAL_ITEMS)?;
            }

            let mut best = (self.ndcg(source), self.snapshot.clone());
            if let Some(borrow) =
                sources::of(source).and_then(|s| s.copy_weighting()).filter(|_| retrain)
            {
                let trial = Trial { source, name: "weighting", retrains: true, min_gain: 0.0 };
                self.try_change(trial, borrow, &mut best, budget)?;
            }

            let Some(candidate) = sources::of(source) else { continue };
            let space = candidate.search_space().into_iter();
            for parameter in space.filter(|parameter| {
                (retrain || !parameter.retrains) && candidate.is_worth_trying(parameter, self.data)
            }) {
                // Anonymous sessions have no age: half-lives do not apply.
                let idle = (!ordered || !retrain) && parameter.is_half_life();
                if idle || !(parameter.applies)(&best.1.manifest.settings) {
                    continue;
                }

                let from = parameter.grid_index(&best.1.manifest.settings);
                let up: Vec<usize> = (from + 1..parameter.grid.len()).collect();
                let down: Vec<usize> = (0..from).rev().collect();
                let mut climbed = false;
                for way in [up, down] {
                    // A gain in one direction means a loss in the other.
                    if climbed {
                        break;
                    }
                    for grid_index in way {
                        let change =
                            |s: &mut Settings| (parameter.set)(s, parameter.grid[grid_index]);
                        let Hyperparameter { name, retrains, .. } = parameter;
                        let min_gain = if grid_index > from { parameter.min_gain } else { 0.0 };
                        let trial = Trial { source, name, retrains, min_gain };
                        if !self.try_change(trial, change, &mut best, budget)? {
                            break;
                        }
                        climbed = true;
                    }
                }
            }

            self.snapshot = best.1;
            if source == Source::Ease && retrain {
                self.resize_ease(ease_items)?;
                best.0 = self.ndcg(source);
            }
            quality.insert(format!("validation_ndcg@10_{}", source.name()), mean(&best.0));
        }
        Ok(quality)
    }

    /// Trains EASE over this many items, if their number changes.
    fn resize_ease(&mut self, items: usize) -> Result<(), TrainError> {
        let mut settings = self.settings();
        let known = self.data.events().items();
        let same = settings.ease.items.min(known) == items.min(known);
        settings.ease.items = items;
        if same {
            self.snapshot.manifest.settings = settings;
            return Ok(());
        }
        self.rebuild(Source::Ease, settings)
    }

    /// Tries a change of settings; keeps it and returns true if it is better than the best so far.
    fn try_change(
        &mut self,
        trial: Trial,
        change: impl Fn(&mut Settings),
        best: &mut (Vec<f64>, Snapshot),
        budget: &mut Budget,
    ) -> Result<bool, TrainError> {
        self.context.control.check()?;
        let Trial { source, name, retrains, min_gain } = trial;
        let mut settings = best.1.manifest.settings;
        change(&mut settings);
        if settings == best.1.manifest.settings || !budget.take() {
            return Ok(false);
        }

        self.snapshot = best.1.clone();
        if retrains {
            self.rebuild(source, settings)?;
        }

        self.snapshot.manifest.settings = settings;
        let ndcg = self.ndcg(source);
        let now = mean(&ndcg);
        let before = mean(&best.0);
        let better = is_better(&ndcg, &best.0) && now >= before * (1.0 + min_gain);
        tracing::debug!(source = source.name(), name, ndcg = now, best = before, better, "trial");

        if better {
            *best = (ndcg, self.snapshot.clone());
        }
        Ok(better)
    }

    /// Trains a source with these settings, which become the snapshot's.
    fn rebuild(&mut self, source: Source, settings: Settings) -> Result<(), TrainError> {
        let TrialContext { seed, control, .. } = self.context;
        let job = TrainingJob { data: self.data, settings: &settings, seed, control };
        if let Some(candidate) = sources::of(source) {
            candidate.train(&job, &mut self.snapshot.parts)?;
        }
        self.snapshot.manifest.settings = settings;
        Ok(())
    }

    /// NDCG at 10 of one source's lists, case by case.
    fn ndcg(&self, source: Source) -> Vec<f64> {
        let cases = &self.context.cases[..self.context.cases.len().div_ceil(TRIAL_SHARE)];
        self.ndcg_by(Method::Source(source), cases)
    }

    fn ndcg_by(&self, method: Method, cases: &[Case]) -> Vec<f64> {
        let (lists, _) = self.harness().lists(method, cases, K, &|| {});
        let scored = lists.iter().zip(cases);
        scored.map(|(list, case)| metrics::score(list, &case.truth, K).ndcg).collect()
    }

    /// Adds trees and a pushed model to the snapshot.
    pub fn put_beside(&mut self, second_stage: &Arc<SecondStage>, pushed: &Arc<Pushed>) {
        self.snapshot.parts.second_stage = second_stage.clone();
        self.snapshot.parts.pushed = pushed.clone();
    }

    /// Asks with these settings from now on; they differ in nothing that is trained.
    pub fn serve_with(&mut self, settings: &Settings) {
        self.snapshot.manifest.settings = *settings;
    }

    /// NDCG at 10 of the lists with these settings, case by case.
    pub fn ndcg_of_lists(&mut self, settings: &Settings, cases: &[Case]) -> Vec<f64> {
        self.serve_with(settings);
        self.ndcg_by(Method::Blend, cases)
    }

    /// The proposals of every source for every case.
    pub fn proposals(&self) -> Vec<Proposals> {
        let harness = self.harness();
        let k = self.snapshot.manifest.settings.blend.candidates;
        self.context
            .cases
            .par_iter()
            .map_init(Scratch::default, |scratch, case| {
                let lists = Source::TRAINED.map(|source| {
                    if !self.sources.contains(&source) {
                        return Vec::new();
                    }
                    harness.ask(case, Some(source), k, |query| {
                        recommend::candidates(&self.snapshot, source, query, k, scratch)
                    })
                });
                Proposals::new(&lists, &case.truth)
            })
            .collect()
    }

    /// The proposals of one source for every case, with these settings.
    pub fn lists_of(&mut self, source: Source, settings: &Settings) -> Vec<Vec<Scored>> {
        self.serve_with(settings);
        let harness = self.harness();
        let k = settings.blend.candidates;
        self.context
            .cases
            .par_iter()
            .map_init(Scratch::default, |scratch, case| {
                harness.ask(case, Some(source), k, |query| {
                    recommend::candidates(&self.snapshot, source, query, k, scratch)
                })
            })
            .collect()
    }

    /// The number of buyers of every item.
    pub fn buyers(&self) -> Vec<f32> {
        self.snapshot.parts.popularity.all_time.by_item.clone()
    }

    /// The second stage's input for every case, with these settings.
    pub fn stage_cases(&mut self, settings: &Settings) -> Vec<StageCase> {
        self.serve_with(settings);
        let harness = self.harness();
        self.context
            .cases
            .par_iter()
            .map_init(Scratch::default, |scratch, case| StageCase {
                candidates: harness.ask(case, None, K, |query| {
                    recommend::second_stage_rows(&self.snapshot, query, scratch)
                }),
                truth: case.truth.clone(),
            })
            .collect()
    }

    fn harness(&self) -> Harness<'_> {
        Harness {
            events: self.data.events(),
            snapshot: &self.snapshot,
            catalogue: &self.catalogue,
            repeat: self.context.repeat,
            history_limit: usize::MAX,
            seed: self.context.seed,
        }
    }
}
