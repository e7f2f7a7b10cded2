//! The floor of every tuning: what is published is no worse than the default settings, nor than
//! any single source, by more than chance, on behaviour held out in another way than in the tuning.
//! Where times order the log, the basket before the last decides, and a random part of the users'
//! items is evaluated too; otherwise another random part decides. Disagreements are recorded in the
//! manifest and the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compare::{is_better, mean};
use super::trials::{TrialContext, TrialSnapshot};
use super::validation::{self, HoldoutSplit, MIN_CASES};
use super::{Task, Tuned, Tuner, search};
use crate::matrix::UserEvents;
use crate::model::blend::BlendSettings;
use crate::model::manifest::Floor;
use crate::model::{SecondStage, Settings, Source};
use crate::recommend::RepeatPolicy;
use crate::train::{TrainError, TrainingData};

/// Number of cases that is enough.
const TARGET_CASES: usize = 2_000;
/// Added to the seed, for another random part of the users' items.
const OTHER_SEED: u64 = 0x5EED;

/// Names of candidates: the tuned settings, with and without trees.
const TUNED: &str = "tuned";
const NO_TREES: &str = "without_trees";

/// Settings that may be published.
struct Candidate {
    name: String,
    settings: Settings,
    second_stage: Option<SecondStage>,
}

/// Scores of the candidates, case by case, in their order.
type Scores = Vec<Vec<f64>>;

impl Tuner<'_> {
    /// The tuned settings for a repeat policy, or better ones; with the measurements.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`] when cancelled, or a factorisation that failed.
    pub(super) fn with_floor(
        &self,
        events: &UserEvents,
        repeat: RepeatPolicy,
        mut tuned: Tuned,
    ) -> Result<Tuned, TrainError> {
        let first = validation::hold_out(events, Task::NextBasket(repeat), self.seed);
        let random = validation::random(events, repeat, self.seed ^ OTHER_SEED);
        let before = if first.ordered {
            Some(validation::hold_out(&first.log, Task::NextBasket(repeat), self.seed))
        } else {
            None
        };

        let time_orders = first.ordered;
        drop(first);
        let before = before.filter(|held| held.ordered && held.cases.len() >= MIN_CASES);
        let random = Some(random).filter(|held| held.cases.len() >= MIN_CASES);

        let candidates = self.candidates(&tuned, time_orders);
        let ask = |held: &Option<HoldoutSplit>| -> Result<Option<Scores>, TrainError> {
            held.as_ref().map(|held| self.scores(held, repeat, &candidates)).transpose()
        };
        let ordered = ask(&before)?;
        let random = ask(&random)?;
        let Some(decides) = ordered.as_ref().or(random.as_ref()) else { return Ok(tuned) };

        // The tuned settings have already won once: a difference that may be chance does not replace
        // them. Trees have won on unseen baskets, and stay unless a simpler candidate wins.
        let simple = |at: usize| candidates[at].name != TUNED && candidates[at].name != NO_TREES;
        let simpler: Vec<usize> = (0..candidates.len()).filter(|&at| simple(at)).collect();
        let chosen = chosen(decides, &simpler);
        let disagree = random.as_ref().is_some_and(|scores| {
            let other = best(scores);
            other != chosen && is_better(&scores[other], &scores[chosen])
        });

        for (how, scores) in [("before", &ordered), ("random", &random)] {
            let means = scores.iter().flatten().zip(&candidates);
            tuned.quality.extend(means.map(|(scores, candidate)| {
                (format!("floor_{how}_ndcg@10_{}", candidate.name), mean(scores))
            }));
        }
        self.say(&candidates[chosen].name, chosen > 0, disagree, &tuned.quality);

        let floor = Floor { chosen: candidates[chosen].name.clone(), disagree };
        let Candidate { settings, second_stage, .. } =
            candidates.into_iter().nth(chosen).unwrap_or_else(|| unreachable!("it is one of them"));
        tuned.settings = settings;
        tuned.second_stage = second_stage;

        if let Some(tuning) = &mut tuned.tuning {
            tuning.floor = Some(floor);
        }
        Ok(tuned)
    }

    /// The tuned settings, and simpler ones.
    fn candidates(&self, tuned: &Tuned, ordered: bool) -> Vec<Candidate> {
        let mut all = vec![Candidate {
            name: TUNED.to_owned(),
            settings: tuned.settings,
            second_stage: tuned.second_stage.clone(),
        }];

        let mut simpler = |name: String, settings: Settings| {
            all.push(Candidate { name, settings, second_stage: None });
        };

        if tuned.second_stage.is_some() {
            simpler(NO_TREES.to_owned(), tuned.settings);
        }

        let alone = |source: &Source| {
            let name = format!("validation_ndcg@10_{}", source.name());
            tuned.quality.get(&name).copied().unwrap_or(0.0)
        };

        let share_of_content = tuned.settings.blend.share_of_content();
        for source in Source::TRAINED.into_iter().filter(|source| alone(source) > 0.0) {
            let mut blend = tuned.settings.blend;
            Source::TRAINED.into_iter().for_each(|other| blend.set_weight(other, 0.0));
            blend.set_weight(source, 1.0);
            blend.content = blend.content.max(share_of_content);
            simpler(source.name().to_owned(), Settings { blend, ..tuned.settings });
        }

        let mut defaults = self.defaults;
        defaults.repeat.offered = tuned.settings.repeat.offered;
        defaults.blend = with_pushed_of(defaults.blend, &tuned.settings.blend);
        // How content takes part is fitted by itself.
        defaults.content = tuned.settings.content;
        defaults.blend.content = share_of_content * defaults.blend.largest_of_behaviour();

        if !ordered {
            search::disable_fading(&mut defaults);
        }

        simpler("defaults".to_owned(), defaults);
        all
    }

    /// Scores of the candidates on held-out cases, with models trained on the rest.
    fn scores(
        &self,
        held: &HoldoutSplit,
        repeat: RepeatPolicy,
        candidates: &[Candidate],
    ) -> Result<Scores, TrainError> {
        let cases = &held.cases[..held.cases.len().min(TARGET_CASES)];
        let Self { seed, control, .. } = *self;
        let context = TrialContext { repeat, cases, ordered: held.ordered, seed, control };
        let data = TrainingData::new(&held.log).with_corpus(&self.corpus);

        // Candidates that differ only in their blend share their models.
        let mut scores: Vec<Option<Vec<f64>>> = vec![None; candidates.len()];
        for at in 0..candidates.len() {
            if scores[at].is_some() {
                continue;
            }

            let same = |other: &Candidate| alike(&other.settings, &candidates[at].settings);
            let mut sources: Vec<Source> = candidates
                .iter()
                .filter(|other| same(other))
                .flat_map(|other| other.settings.blend.sources())
                .filter(|source| Source::TRAINED.contains(source))
                .filter(|source| !self.left_out.contains(source))
                .collect();

            sources.sort_unstable();
            sources.dedup();

            let mut trials = TrialSnapshot::new(&data, candidates[at].settings, &sources, context)?;
            for (other, scored) in candidates.iter().zip(&mut scores) {
                if same(other) {
                    let trees = other.second_stage.clone().unwrap_or_default();
                    trials.put_beside(&Arc::new(trees), &self.pushed);
                    *scored = Some(trials.ndcg_of_lists(&other.settings, cases));
                }
            }
        }
        Ok(scores.into_iter().map(Option::unwrap_or_default).collect())
    }

    fn say(&self, chosen: &str, replaced: bool, disagree: bool, quality: &BTreeMap<String, f64>) {
        let figures = quality.iter().filter(|(name, _)| name.starts_with("floor_"));
        let figures: Vec<String> =
            figures.map(|(name, ndcg)| format!("{name} {ndcg:.4}")).collect();
        let figures = figures.join(", ");
        if replaced {
            tracing::warn!(chosen, figures, "the tuned settings are worse than simpler ones");
        }

        if disagree {
            tracing::info!(
                chosen,
                figures,
                "held-out baskets and held-out items prefer different settings: are the log's \
                 times those of the events?"
            );
        }
    }
}

/// The best of the `simpler` candidates that beat the first by more than chance; the first without any.
fn chosen(scores: &Scores, simpler: &[usize]) -> usize {
    let better = simpler.iter().copied().filter(|&at| is_better(&scores[at], &scores[0]));
    better.max_by(|&a, &b| mean(&scores[a]).total_cmp(&mean(&scores[b]))).unwrap_or(0)
}

/// The candidate with the best mean; the first among equals.
fn best(scores: &Scores) -> usize {
    let means = scores.iter().map(|scores| mean(scores)).enumerate();
    let best = means.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(at, _)| at)
}

/// Whether settings differ only in their blend.
fn alike(one: &Settings, other: &Settings) -> bool {
    Settings { blend: one.blend, ..*other } == *one
}

/// A blend with another's weights of pushed sources.
fn with_pushed_of(mut blend: BlendSettings, other: &BlendSettings) -> BlendSettings {
    Source::PUSHED.into_iter().for_each(|source| blend.set_weight(source, other.weight(source)));
    blend
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::domain::progress::Control;
    use crate::domain::{EventKind, HistoryEvent};
    use crate::tune::Budget;

    /// Two tastes, in a log that was sorted by item before all events got one time.
    #[test]
    fn a_log_whose_times_say_nothing_is_not_tuned_on_its_order() {
        let mut rows: Vec<(u32, u32)> = (0..80u32)
            .flat_map(|user| (0..10).map(move |n| (user, user % 2 * 60 + (user * 7 + n * n) % 60)))
            .collect();
        rows.sort_by_key(|&(user, item)| (item, user));
        rows.dedup();
        let event = |(at, (user, item)): (u32, (u32, u32))| {
            let of_row = HistoryEvent::new(EventKind::Purchase, item, 1_300_000_000_000);
            (user, HistoryEvent { basket: at + 1, ..of_row })
        };

        let events = UserEvents::new(80, 120, (0..).zip(rows).map(event).collect());
        let cancel = AtomicBool::new(false);
        let control = Control::new(&|_| {}, &cancel);
        let tuner = Tuner::new(&events, Settings::default(), 1, &control);

        let tuned =
            tuner.tune(Task::NextBasket(RepeatPolicy::Auto), Budget::new(20, None)).unwrap();

        let blend = tuned.settings.blend;
        assert_eq!((blend.transition, blend.session, blend.repeat), (0.0, 0.0, 0.0));
        assert!(!tuned.settings.repeat.offered && tuned.second_stage.is_none());
        let floor = tuned.tuning.unwrap().floor.unwrap();
        let all = tuned.quality.iter().filter(|(name, _)| name.starts_with("floor_random"));
        assert!(all.clone().count() >= 4, "{:?}", tuned.quality);
        let reached = tuned.quality[&format!("floor_random_ndcg@10_{}", floor.chosen)];
        let most = all.map(|(_, ndcg)| *ndcg).fold(0.0, f64::max);
        assert!(reached > 0.9 * most, "what is more may be chance, but not much: {reached} {most}");
    }

    #[test]
    fn only_more_than_chance_replaces_what_was_tuned() {
        let tuned: Vec<f64> = vec![0.5; 100];
        let steady: Vec<f64> = vec![0.51; 100];
        let steadier: Vec<f64> = vec![0.52; 100];
        let chance: Vec<f64> = (0..100).map(|at| f64::from(at % 2) * 1.1).collect();
        let scores = vec![tuned, steady, steadier, chance];
        assert!(mean(&scores[3]) > mean(&scores[2]));
        assert_eq!(chosen(&scores, &[1, 2, 3]), 2);
        assert_eq!(chosen(&scores, &[3]), 0);
        assert_eq!(chosen(&scores, &[]), 0);
    }
}
