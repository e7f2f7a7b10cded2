//! Judges a pushed model: the weights of its sources, and whether lists are better with it.
//!
//! Weights are tried on lists of held-out behaviour that it cannot have been trained on. With too
//! little of that, it gets a moderate weight: on cases it was trained on it would look perfect.

use std::sync::Arc;
use std::time::Instant;

use super::compare::mean;
use super::trials::{TrialContext, TrialSnapshot};
use super::validation::{HoldoutSplit, MIN_CASES};
use super::{Task, trim, validation};
use crate::content::Corpus;
use crate::domain::progress::Control;
use crate::evaluate::Case;
use crate::matrix::UserEvents;
use crate::model::blend::BlendSettings;
use crate::model::{Pushed, Settings, Snapshot, Source};
use crate::recommend::RepeatPolicy;
use crate::train::{TrainError, TrainingData};

/// Weights that are tried, relative to the largest weight of the trained sources.
const LADDER: [f32; 5] = [0.1, 0.25, 0.5, 1.0, 2.0];
/// Number of cases that is enough for a verdict: the client waits.
const TARGET_CASES: usize = 2_000;
/// The weight of a source whose quality cannot be measured.
pub const UNTRIED: f32 = 0.25;

/// The judgement on a pushed model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// The blend with its sources.
    pub blend: BlendSettings,
    /// The measurement; none where nothing can be held out.
    pub measured: Option<Measured>,
}

/// NDCG at 10 on held-out behaviour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Of lists with the pushed model.
    pub with: f64,
    /// Of lists of the active model, with what was pushed before.
    pub before: f64,
    /// Number of cases.
    pub cases: usize,
    /// Whether all cases happened after it was trained.
    pub unseen: bool,
}

/// Judges a pushed model together with `active`, whose sources are trained again without what is
/// held out of `events`.
///
/// # Errors
/// [`TrainError::Cancelled`] when cancelled, or a factorisation that failed.
pub fn judge(
    events: &UserEvents,
    corpus: &Arc<Corpus>,
    active: &Snapshot,
    pushed: &Arc<Pushed>,
    repeat: RepeatPolicy,
    control: &Control<'_>,
) -> Result<Judgement, TrainError> {
    let settings = active.manifest.settings;
    let seed = active.manifest.seed;
    let blend = settings.blend.with_pushed(pushed, |_| UNTRIED);
    let sampled = trim::sample(events, seed);
    let events = sampled.as_ref().unwrap_or(events);
    let policy = repeat.resolved(&settings);

    let held = validation::hold_out(events, Task::NextBasket(policy), seed);
    if held.cases.len() < MIN_CASES {
        return Ok(Judgement { blend, measured: None });
    }

    let repeat = match policy {
        RepeatPolicy::ExcludePurchased => policy,
        _ => RepeatPolicy::Allow,
    };
    let (mut cases, unseen) = later_than(&held, pushed.trained_until_ms);
    cases.truncate(TARGET_CASES);
    let ordered = held.ordered;
    let context = TrialContext { repeat, cases: &cases, ordered, seed, control };
    let trimmed = trim::trim(&held.log);

    let data = TrainingData::new(trimmed.as_ref().unwrap_or(&held.log)).with_corpus(corpus);
    let sources = settings.blend.sources();
    let sources: Vec<Source> =
        sources.into_iter().filter(|source| Source::TRAINED.contains(source)).collect();
    let began = Instant::now();
    let step = |what: &str| {
        tracing::debug!(seconds = began.elapsed().as_secs_f64(), cases = cases.len(), "{what}");
    };
    let mut trials = TrialSnapshot::new(&data, settings, &sources, context)?;
    step("sources are trained without the held-out cases");
    trials.put_beside(&active.parts.second_stage, &active.parts.pushed);

    let before = mean(&trials.ndcg_of_lists(&settings, &cases));
    trials.put_beside(&active.parts.second_stage, pushed);
    let mut at =
        |blend: BlendSettings| trials.ndcg_of_lists(&Settings { blend, ..settings }, &cases);
    let (blend, with) = if unseen {
        fit(&settings.blend, pushed, false, &mut at)
    } else {
        (blend, mean(&at(blend)))
    };

    step("lists are made");
    let measured = Some(Measured { with, before, cases: cases.len(), unseen });
    Ok(Judgement { blend, measured })
}

/// The weights of pushed sources with the best lists, one source after the other, and the NDCG on
/// cases that they were not fitted to, where `ndcg` returns it case by case. A source gets a weight
/// above 0 unless it `may_go`.
pub(super) fn fit(
    start: &BlendSettings,
    pushed: &Pushed,
    may_go: bool,
    ndcg: &mut dyn FnMut(BlendSettings) -> Vec<f64>,
) -> (BlendSettings, f64) {
    let mut blend = start.with_pushed(pushed, |_| 0.0);
    let mut reached = 0.0;
    for source in pushed.sources() {
        let nothing = may_go.then_some(0.0);
        let tried: Vec<(f32, Vec<f64>)> = nothing
            .into_iter()
            .chain(LADDER)
            .map(|weight| {
                blend.set_weight(source, weight);
                (weight, ndcg(blend))
            })
            .collect();

        let cases = tried.first().map_or(0, |(_, scores)| scores.len());
        let best = |from: usize, to: usize| {
            let of = |tried: &&(f32, Vec<f64>)| mean(&tried.1[from..to]);
            tried.iter().max_by(|a, b| of(a).total_cmp(&of(b)))
        };

        // Each half is scored with the weight that is best for the other.
        let half = cases / 2;
        let first = best(half, cases).map_or(0.0, |t| t.1[..half].iter().sum());
        let second: f64 = best(0, half).map_or(0.0, |t| t.1[half..].iter().sum());
        reached = (first + second) / cases.max(1) as f64;
        blend.set_weight(source, best(0, cases).map_or(0.0, |t| t.0));
    }
    (blend, reached)
}

/// The cases that happened after `until_ms`, and true; all cases, and false, where those are too
/// few.
pub(super) fn later_than(held: &HoldoutSplit, until_ms: i64) -> (Vec<Case>, bool) {
    let asked = held.cases.iter().zip(&held.asked_ms);
    let later = asked.filter(|&(_, &asked_ms)| held.ordered && asked_ms > until_ms);
    let later: Vec<Case> = later.map(|(case, _)| case.clone()).collect();
    if later.len() >= MIN_CASES { (later, true) } else { (held.cases.clone(), false) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Csr;
    use crate::model::Ranking;

    #[test]
    fn each_source_gets_the_weight_that_serves_best() {
        let pushed = Pushed {
            items: Csr::from_rows(1, vec![vec![(0, 1.0)]]),
            priors: Ranking::new([1.0]),
            ..Pushed::default()
        };

        // Lists are best with neighbours at .5, and with as little as possible of the others.
        let mut ndcg = |blend: BlendSettings| {
            vec![
                0.9 - (blend.pushed_items - 0.5).abs() as f64 - 0.1 * f64::from(blend.pushed_prior);
                40
            ]
        };

        let start = BlendSettings { pushed_users: 1.0, ..BlendSettings::default() };
        let (kept, reached) = fit(&start, &pushed, false, &mut ndcg);
        assert_eq!((kept.pushed_items, kept.pushed_prior, kept.pushed_users), (0.5, 0.1, 0.0));
        assert!((reached - 0.89).abs() < 1e-6, "{reached}");
        let (kept, _) = fit(&start, &pushed, true, &mut ndcg);
        assert_eq!((kept.pushed_items, kept.pushed_prior), (0.5, 0.0));
    }
}
