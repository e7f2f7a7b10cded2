//! Fits a snapshot's settings to the store: nobody should have to turn knobs.
//!
//! Behaviour is held out of the log ([`validation`]), every source is trained on
//! the rest with each of a few settings and keeps the best ([`sources`]), and the
//! blend's weights are fitted to what the sources then propose ([`blend`]), and over
//! it a learned second stage, where it wins ([`second_stage`]). What
//! is measured goes through the `recommend` that serves. Budgets are counted in
//! trials and everything is seeded, so that a tuning can be repeated.

pub mod blend;
pub mod second_stage;
pub mod sources;
pub mod validation;

use std::collections::BTreeMap;

use crate::domain::progress::Control;
use crate::matrix::UserEvents;
use crate::model::{SecondStage, Settings};
use crate::recommend::RepeatPolicy;
use crate::train::{Material, TrainError};

/// What lists are asked for, and so what is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The next basket of known shoppers.
    NextBasket(RepeatPolicy),
    /// The next item of sessions of strangers.
    NextItem,
}

/// What a tuning found.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// The settings to train with.
    pub settings: Settings,
    /// The second stage, where it wins.
    pub second_stage: Option<SecondStage>,
    /// What was measured on the held-out behaviour, by name.
    pub quality: BTreeMap<String, f64>,
}

impl Tuned {
    /// Settings as they are.
    pub fn untuned(settings: Settings) -> Self {
        Self { settings, second_stage: None, quality: BTreeMap::new() }
    }
}

/// Fits settings to `events`, beginning with `start`.
///
/// # Errors
/// [`TrainError::Cancelled`] when told to stop; where nothing can be held out,
/// `start` comes back as it is.
pub fn tune(
    events: &UserEvents,
    start: &Settings,
    task: Task,
    seed: u64,
    control: &Control<'_>,
) -> Result<Tuned, TrainError> {
    let (inner, cases) = validation::hold_out(events, task, seed);
    if cases.len() < validation::FEWEST_CASES {
        return Ok(Tuned::untuned(*start));
    }
    let repeat = match task {
        Task::NextBasket(repeat) => repeat,
        Task::NextItem => RepeatPolicy::Allow,
    };
    let material = Material::new(&inner);
    let mut bench = sources::Bench::new(&material, *start, repeat, &cases, seed, control)?;
    let mut quality = bench.tune()?;
    let (weights, ndcg) = blend::fit(&bench.proposals(), &start.blend);
    let mut settings = bench.settings();
    settings.blend = weights;
    // Trials may take fewer.
    settings.ease.items = start.ease.items;
    quality.insert("validation_ndcg@10_blend".to_owned(), ndcg);
    // Only over the sources that the blend keeps: with candidates of all of them the
    // trees did worse (Online Retail, repeats allowed: .271 against .276).
    let (stage, with_stage) = second_stage::fit(&bench.stage_cases(&settings), seed);
    quality.insert("validation_ndcg@10_stage".to_owned(), with_stage);
    let second_stage = stage.filter(|_| with_stage > ndcg);
    Ok(Tuned { settings, second_stage, quality })
}
