//! Fits settings for a task: sources, blend weights, second stage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::blend::{self, Proposals};
use super::compare::{is_better, mean};
use super::task::Task;
use super::trials::{Budget, Spent, TrialContext, TrialSnapshot};
use super::tuned::{Fitted, Searched, Tuned};
use super::validation::{self, HoldoutSplit};
use super::{hybrid, pushed, search, second_stage, trim};
use crate::content::Corpus;
use crate::domain::progress::Control;
use crate::evaluate::Case;
use crate::matrix::UserEvents;
use crate::model::blend::BlendSettings;
use crate::model::manifest::Tuning;
use crate::model::{Pushed, SecondStage, Settings, Source};
use crate::recommend::RepeatPolicy;
use crate::sources;
use crate::store::Unfinished;
use crate::train::{TrainError, TrainingData};

/// Names of measurements.
const BLEND: &str = "validation_ndcg@10_blend";
const WITH: &str = "validation_ndcg@10_with_repeats";
const WITHOUT: &str = "validation_ndcg@10_without_repeats";
const FITTED: &str = "fitted_ndcg@10_blend";
const STAGE: &str = "validation_ndcg@10_stage";

/// Tunes on a store's log.
pub struct Tuner<'a> {
    /// The log.
    pub events: &'a UserEvents,
    /// What items are; empty without a catalogue.
    pub corpus: Arc<Corpus>,
    /// Where the search begins.
    pub start: Settings,
    /// Whether `start` was served before: then nothing worse replaces it.
    pub served: bool,
    /// The default settings, for the floor.
    pub defaults: Settings,
    /// The pushed model to blend in; empty for none.
    pub pushed: Arc<Pushed>,
    /// Sources for which the training has no memory.
    pub left_out: &'a [Source],
    /// Seed of every draw.
    pub seed: u64,
    /// Reports progress and cancels.
    pub control: &'a Control<'a>,
    /// What is finished of it.
    pub unfinished: Arc<Unfinished>,
}

impl<'a> Tuner<'a> {
    /// Tunes from settings that were never served and are the defaults, without a catalogue and a pushed
    /// model, and keeps nothing that is unfinished.
    pub fn new(
        events: &'a UserEvents,
        start: Settings,
        seed: u64,
        control: &'a Control<'a>,
    ) -> Self {
        let (corpus, pushed, unfinished) = Default::default();
        Self {
            events,
            corpus,
            start,
            served: false,
            defaults: start,
            pushed,
            left_out: &[],
            seed,
            control,
            unfinished,
        }
    }
}

impl Tuner<'_> {
    /// Fits settings for a task.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`] when cancelled; where nothing can be held out, `start` is returned
    /// unchanged.
    pub fn tune(&self, task: Task, mut budget: Budget) -> Result<Tuned, TrainError> {
        let mut tuned = self.fit(task, &mut budget)?;
        let reached = |name: &str| tuned.quality.get(name).copied();
        if let (Some(with), Some(without)) = (reached(BLEND), reached(WITHOUT)) {
            // Where repeats do not help, a list has better uses for its places.
            if without >= with {
                let exclude = Task::NextBasket(RepeatPolicy::ExcludePurchased);
                tuned = self.fit(exclude, &mut budget)?;
            }
            tuned.settings.repeat.offered = with > without;
            tuned.quality.insert(WITH.to_owned(), with);
            tuned.quality.insert(WITHOUT.to_owned(), without);
        }

        let Task::NextBasket(policy) = task else { return Ok(tuned) };
        if tuned.tuning.is_none() {
            return Ok(tuned);
        }

        let repeat = match policy.resolved(&tuned.settings) {
            RepeatPolicy::ExcludePurchased => RepeatPolicy::ExcludePurchased,
            _ => RepeatPolicy::Allow,
        };
        let with_floor = || {
            let sampled = trim::sample(self.events, self.seed);
            self.with_floor(sampled.as_ref().unwrap_or(self.events), repeat, tuned)
        };
        self.unfinished.stage("floor", with_floor)
    }

    /// Fits settings for anonymous sessions to models trained as in `tuned`, starting from those
    /// served `before`. Where nothing can be held out, sessions use the users' settings.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`] when cancelled.
    pub fn tune_sessions(
        &self,
        tuned: &mut Tuned,
        before: Option<&Settings>,
        mut budget: Budget,
    ) -> Result<(), TrainError> {
        let mut start = tuned.settings;
        if let Some(before) = before {
            search::copy_serving_settings(&mut start, before);
        }

        let corpus = self.corpus.clone();
        let pushed = self.pushed.clone();
        let unfinished = self.unfinished.clone();
        let tuner = Tuner { start, served: before.is_some(), corpus, pushed, unfinished, ..*self };
        let found = tuner.fit(Task::Session, &mut budget)?;
        if found.tuning.is_some() {
            let quality = found.quality.into_iter();
            tuned.quality.extend(quality.map(|(name, value)| (format!("session_{name}"), value)));
            tuned.sessions = Some((found.settings, found.second_stage));
        }
        Ok(())
    }

    fn log(&self, began: Instant, what: &str) {
        tracing::debug!(seconds = began.elapsed().as_secs_f64(), "{what}");
    }

    /// Fits settings for a task, unless that is finished.
    fn fit(&self, task: Task, budget: &mut Budget) -> Result<Tuned, TrainError> {
        let name = format!("{task:?}");
        let tuned = self.unfinished.stage(&name, || self.fit_anew(task, budget))?;
        if let Some(&Tuning { trials: tried, capped, .. }) = tuned.tuning.as_ref() {
            budget.spent = Spent { tried, capped };
        }
        Ok(tuned)
    }

    /// Fits settings for a task; with [`RepeatPolicy::Auto`] repeats are offered, and the quality
    /// of lists without them is measured too.
    fn fit_anew(&self, task: Task, budget: &mut Budget) -> Result<Tuned, TrainError> {
        let sampled = trim::sample(self.events, self.seed);
        let events = sampled.as_ref().unwrap_or(self.events);
        let held = validation::hold_out(events, task, self.seed);
        let &HoldoutSplit { log: ref inner, ref cases, ordered, .. } = &held;
        if cases.len() < validation::MIN_CASES {
            return Ok(Tuned::untuned(self.start));
        }

        let repeat = match task {
            Task::NextBasket(RepeatPolicy::ExcludePurchased) => RepeatPolicy::ExcludePurchased,
            Task::NextBasket(_) | Task::NextItem | Task::Session => RepeatPolicy::Allow,
        };
        let began = Instant::now();
        let context =
            TrialContext { repeat, cases, ordered, seed: self.seed, control: self.control };
        let all = self.tuned_sources(repeat, ordered);
        let start = self.start_of(task, ordered);

        let full = TrainingData::new(inner).with_corpus(&self.corpus);
        let trimmed = trim::trim(inner);
        let trimmed = trimmed.as_ref().map(|log| TrainingData::new(log).with_corpus(&self.corpus));
        let (found, mut trials) =
            self.searched(task, (&full, trimmed.as_ref()), start, &all, context, budget)?;
        let Searched { settings, mut quality, before, spent } = found;
        budget.spent = spent;
        self.log(began, "sources are trained");

        let mut fitted = self.fitted(&mut trials, cases, settings);
        if matches!(task, Task::Session | Task::NextItem) {
            fitted = self.with_item_in_view(&mut trials, cases, settings, fitted);
        }
        let Fitted { proposals, mut settings, ndcg: blended } = fitted;
        quality.insert(BLEND.to_owned(), mean(&blended));
        quality.extend(ablation(&proposals, &settings.blend));
        self.log(began, "the blend is fitted");

        if task == Task::NextBasket(RepeatPolicy::Auto) {
            let without = blend::without_seen(&proposals, cases, &settings.blend);
            quality.insert(WITHOUT.to_owned(), without);
        }
        drop(proposals);

        self.weigh_pushed(&mut trials, &held, &mut settings);
        let second_stage = if ordered {
            self.second_stage(&mut trials, &settings, &blended, &mut quality)
        } else {
            None
        };
        self.log(began, "trees are grown");

        settings.ease.items = start.ease.items;
        settings.sequence.visits = start.sequence.visits;
        let tuning = Tuning {
            cases: cases.len(),
            trials: spent.tried,
            seconds: began.elapsed().as_secs_f64(),
            capped: spent.capped,
            previous: self.served.then_some(self.start),
            previous_ndcg: before,
            floor: None,
        };
        Ok(Tuned { second_stage, quality, tuning: Some(tuning), ..Tuned::untuned(settings) })
    }

    /// The hyperparameters of a task, and trials with them on the full data; searched on trimmed data where
    /// there is any.
    fn searched<'t>(
        &self,
        task: Task,
        (full, trimmed): (&'t TrainingData<'t>, Option<&'t TrainingData<'t>>),
        start: Settings,
        sources: &'t [Source],
        context: TrialContext<'t>,
        budget: &mut Budget,
    ) -> Result<(Searched, TrialSnapshot<'t>), TrainError> {
        let began = Instant::now();
        let mut trials = None;
        let search = || {
            let data = trimmed.unwrap_or(full);
            let mut of_search = TrialSnapshot::new(data, start, sources, context)?;
            let found = self.search(task, &mut of_search, budget)?;
            trials = trimmed.is_none().then_some(of_search);
            Ok::<_, TrainError>(found)
        };
        let found = self.unfinished.stage(&format!("{task:?}: search"), search)?;
        self.log(began, "hyperparameters are searched");

        let trials = match trials.filter(|trials| trials.settings() == found.settings) {
            Some(trials) => trials,
            None => TrialSnapshot::new(full, found.settings, sources, context)?,
        };
        Ok((found, trials))
    }

    /// Searches the hyperparameters of a task, on trials with the settings that it begins with.
    fn search(
        &self,
        task: Task,
        trials: &mut TrialSnapshot<'_>,
        budget: &mut Budget,
    ) -> Result<Searched, TrainError> {
        let start = trials.settings();
        let of_start = || mean(&blend::ndcg(&trials.proposals(), &start.blend));
        let before = self.served.then(of_start);
        let quality = trials.tune(task != Task::Session, budget)?;
        let settings = or_start(trials, start, before);
        Ok(Searched { settings, quality, before, spent: budget.spent })
    }

    /// Fits the blend's weights to the proposals of the sources with these settings, from the weights of
    /// the settings on, and how content takes part.
    pub(super) fn fitted(
        &self,
        trials: &mut TrialSnapshot<'_>,
        cases: &[Case],
        mut settings: Settings,
    ) -> Fitted {
        trials.serve_with(&settings);
        let start = settings.blend;
        let mut proposals = trials.proposals();
        if self.corpus.is_empty() {
            settings.blend = blend::fit(&proposals, &start);
        } else {
            hybrid::fit(trials, cases, &mut proposals, &mut settings);
        }
        let ndcg = hybrid::cross_validated(&proposals, cases, &start, &settings.blend);
        Fitted { proposals, settings, ndcg }
    }

    /// The sources that are tuned for a repeat policy.
    fn tuned_sources(&self, repeat: RepeatPolicy, ordered: bool) -> Vec<Source> {
        let asked = |source: &Source| {
            (*source != Source::Repeat || repeat == RepeatPolicy::Allow)
                && (*source != Source::Content || !self.corpus.is_empty())
                && (ordered || !sources::of(*source).is_some_and(|s| s.reads_order()))
                && !self.left_out.contains(source)
        };
        search::in_tuning_order().into_iter().filter(asked).collect()
    }

    /// Where the search begins: where times do not order the events, nothing fades.
    fn start_of(&self, task: Task, ordered: bool) -> Settings {
        let mut start = self.start;
        if matches!(task, Task::Session | Task::NextItem) {
            // Whether it is offered is decided anew.
            start.session.in_view = false;
        }
        if !ordered {
            search::disable_fading(&mut start);
        }
        start
    }

    /// Fits the weights of the pushed model, where enough has happened since it was trained;
    /// otherwise it keeps its weights.
    fn weigh_pushed(
        &self,
        trials: &mut TrialSnapshot<'_>,
        held: &HoldoutSplit,
        settings: &mut Settings,
    ) {
        if self.pushed.is_empty() {
            return;
        }
        trials.put_beside(&Arc::default(), &self.pushed);
        let (later, unseen) = pushed::later_than(held, self.pushed.trained_until_ms);
        if unseen {
            let mut ndcg = |blend| trials.ndcg_of_lists(&Settings { blend, ..*settings }, &later);
            let start = settings.blend;
            (settings.blend, _) = pushed::fit(&start, &self.pushed, true, &mut ndcg);
        }
    }

    /// Trains trees, and keeps them where they beat the blend by more than chance: they cost every
    /// list time. Only over the sources that the blend keeps: with all of them trees are no better,
    /// and every list would ask all. Only where times order the events: most other features are
    /// times, and without them trees do well on the cases and badly on later events (a split of
    /// check-ins).
    fn second_stage(
        &self,
        trials: &mut TrialSnapshot<'_>,
        settings: &Settings,
        blended: &[f64],
        quality: &mut BTreeMap<String, f64>,
    ) -> Option<SecondStage> {
        let (stage, staged) = second_stage::fit(&trials.stage_cases(settings), self.seed)?;
        quality.insert(STAGE.to_owned(), mean(&staged));
        is_better(&staged, blended).then_some(stage)
    }
}

/// The settings that trials found; those from the start, where these reached more `before`.
fn or_start(trials: &TrialSnapshot<'_>, start: Settings, before: Option<f64>) -> Settings {
    let Some(before) = before else { return trials.settings() };
    let proposals = trials.proposals();
    let weights = blend::fit(&proposals, &start.blend);
    let is_worse = mean(&blend::ndcg(&proposals, &weights)) < before;
    if is_worse { start } else { trials.settings() }
}

/// The quality of the blend, and of the blend without each of its sources.
fn ablation(proposals: &[Proposals], blend: &BlendSettings) -> impl Iterator<Item = (String, f64)> {
    let asked = Source::TRAINED.into_iter().filter(|&source| blend.weight(source) > 0.0);
    let without = asked.map(|source| {
        let mut less = *blend;
        less.set_weight(source, 0.0);
        (format!("{FITTED}_without_{}", source.name()), mean(&blend::ndcg(proposals, &less)))
    });
    std::iter::once((FITTED.to_owned(), mean(&blend::ndcg(proposals, blend)))).chain(without)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::domain::{DAY_MS, EventKind, HistoryEvent};

    /// Sixty users with five baskets of two items each; `item` returns the first item of the user's
    /// n-th basket.
    fn log(item: impl Fn(u32, u32) -> u32) -> UserEvents {
        let bought = |(user, basket, second): (u32, u32, u32)| {
            let event = HistoryEvent::new(
                EventKind::Purchase,
                item(user, basket) + second,
                i64::from(basket) * 10 * DAY_MS + i64::from(user),
            );
            (user, event)
        };
        let all = (0..60).flat_map(|u| (0..5).flat_map(move |b| [(u, b, 0), (u, b, 1)]));
        UserEvents::new(60, 300, all.map(bought).collect())
    }

    fn tuned(item: impl Fn(u32, u32) -> u32, before: Option<Settings>) -> Tuned {
        let events = log(item);
        let cancel = AtomicBool::new(false);
        let control = Control::new(&|_| {}, &cancel);
        let served = before.is_some();
        let start = before.unwrap_or_default();
        let defaults = Settings::default();
        let tuner = Tuner { served, defaults, ..Tuner::new(&events, start, 1, &control) };
        tuner.tune(Task::NextBasket(RepeatPolicy::Auto), Budget::new(20, None)).unwrap()
    }

    #[test]
    fn repeats_are_offered_where_users_repeat() {
        let always_the_same = tuned(|user, _| user % 20 * 2, None);
        let never_twice = tuned(|user, basket| (user % 20 + basket * 20) * 2, None);
        assert!(always_the_same.settings.repeat.offered);
        assert!(!never_twice.settings.repeat.offered);
        assert_eq!(always_the_same.tuning.map(|t| t.trials), Some(20));
    }

    #[test]
    fn what_served_is_measured_first_and_recorded() {
        let first = tuned(|user, _| user % 20 * 2, None);
        let again = tuned(|user, _| user % 20 * 2, Some(first.settings));
        let tuning = again.tuning.unwrap();
        assert_eq!(tuning.previous, Some(first.settings));
        assert!(again.quality[FITTED] >= tuning.previous_ndcg.unwrap() - 1e-9);
    }

    #[test]
    fn sessions_get_settings_of_their_own() {
        let before = Settings::default();
        let events = log(|user, basket| (user % 20 + basket * 20) * 2);
        let cancel = AtomicBool::new(false);
        let control = Control::new(&|_| {}, &cancel);
        let tuner = Tuner::new(&events, before, 1, &control);
        let mut tuned = Tuned::untuned(before);
        tuner.tune_sessions(&mut tuned, None, Budget::new(20, None)).unwrap();
        let (settings, _) = tuned.sessions.as_ref().unwrap();

        // A session has an item and the next one: repeats of users do not apply.
        assert_eq!(settings.blend.repeat, 0.0);
        assert!(tuned.quality["session_validation_ndcg@10_blend"] > 0.9, "{:?}", tuned.quality);
        assert_eq!(
            settings.item_cf.weighting.half_life_days,
            before.item_cf.weighting.half_life_days
        );
        assert!(tuned.sources().contains(&Source::Repeat), "users' lists are unchanged");
    }
}
