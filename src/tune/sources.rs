//! Each source's few settings: tried one after the other on the held-out
//! behaviour, the best kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::blend::Proposals;
use super::second_stage::StageCase;
use crate::domain::progress::{Control, Stage};
use crate::evaluate::harness::Harness;
use crate::evaluate::{Case, Method, metrics};
use crate::model::{Embeddings, Manifest, Parts, Settings, Snapshot, Source};
use crate::recommend::{self, RepeatPolicy, Scratch};
use crate::train::{
    Material, TrainError, cooccurrence, ease, popularity, sessions, svd, transition, user_cf,
};

/// Length of the lists that trials are judged by.
const K: usize = 10;
/// Cases that a trial is judged by; the cases come in random order.
const TRIAL_CASES: usize = 800;
/// Half-lives tried, in days.
const HALF_LIVES: [f64; 4] = [30.0, 120.0, 240.0, 0.0];
/// EASE's cost grows with the cube of its items; trials take fewer.
const EASE_TRIAL_ITEMS: usize = 4_000;

/// A snapshot in the making, and what it is judged by.
pub struct Bench<'a> {
    material: &'a Material<'a>,
    snapshot: Snapshot,
    repeat: RepeatPolicy,
    cases: &'a [Case],
    seed: u64,
    control: &'a Control<'a>,
}

impl<'a> Bench<'a> {
    /// Trains every source with `start`: no more of a snapshot than trials ask.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`], or a factorisation that failed.
    pub fn new(
        material: &'a Material<'a>,
        start: Settings,
        repeat: RepeatPolicy,
        cases: &'a [Case],
        seed: u64,
        control: &'a Control<'a>,
    ) -> Result<Self, TrainError> {
        let mut settings = start;
        // Every source takes part, so that every one can be weighed.
        Source::BLENDED.iter().for_each(|&source| settings.blend.set_weight(source, 1.0));
        settings.ease.items = settings.ease.items.min(EASE_TRIAL_ITEMS);
        let manifest = Manifest {
            generation: 0,
            offset: 0,
            newest_ms: material.now_ms(),
            seed,
            settings,
            users: 0,
            items: 0,
            interactions: 0,
            created_ms: 0,
            train_seconds: 0.0,
            quality: BTreeMap::new(),
            bytes: 0,
            checksum: String::new(),
        };
        let snapshot = Snapshot { manifest, parts: Parts::default() };
        control.begin(Stage::Tune)?;
        let mut bench = Self { material, snapshot, repeat, cases, seed, control };
        for source in Source::BLENDED {
            bench.rebuild(source, settings)?;
        }
        let sessions = sessions::train(material.events(), &settings.session);
        bench.snapshot.parts.sessions = Arc::new(sessions);
        Ok(bench)
    }

    /// The best settings found.
    pub fn settings(&self) -> Settings {
        self.snapshot.manifest.settings
    }

    /// Tries the settings of every source; returns what each reached alone.
    ///
    /// # Errors
    /// [`TrainError::Cancelled`], or a factorisation that failed.
    pub fn tune(&mut self) -> Result<BTreeMap<String, f64>, TrainError> {
        let mut quality = BTreeMap::new();
        for source in Source::BLENDED {
            let mut best = (self.ndcg(source), self.snapshot.clone());
            for trial in trials(source) {
                self.control.check()?;
                let mut settings = best.1.manifest.settings;
                if !trial.apply(&mut settings) {
                    continue;
                }
                self.rebuild(source, settings)?;
                let ndcg = self.ndcg(source);
                tracing::debug!(source = source.name(), ?trial, ndcg, best = best.0, "trial");
                if ndcg > best.0 {
                    best = (ndcg, self.snapshot.clone());
                }
            }
            self.snapshot = best.1;
            quality.insert(format!("validation_ndcg@10_{}", source.name()), best.0);
        }
        Ok(quality)
    }

    fn rebuild(&mut self, source: Source, settings: Settings) -> Result<(), TrainError> {
        let matrix = |days| self.material.matrix(days);
        let parts = &mut self.snapshot.parts;
        match source {
            Source::ItemCf => {
                let matrix = matrix(settings.item_cf.half_life_days);
                let table = cooccurrence::item_cf(&matrix, &settings.item_cf, self.control)?;
                parts.item_cf = Arc::new(table);
            }
            Source::UserCf => {
                let matrix = matrix(settings.user_cf.half_life_days);
                parts.user_cf = Arc::new(user_cf::train(&matrix, &settings.user_cf));
            }
            Source::Ease => {
                let matrix = matrix(settings.ease.half_life_days);
                parts.ease = Arc::new(ease::train(&matrix, &settings.ease, self.control)?);
            }
            Source::Embedding => {
                let matrix = matrix(settings.embedding.half_life_days);
                let (vectors, fold_in) =
                    svd::train(&matrix, &settings.embedding, self.seed, self.control)?;
                let dimensions = settings.embedding.dimensions;
                // Without a graph, searches scan: exact, and for trials quicker to have.
                let ann = Default::default();
                parts.embeddings = Arc::new(Embeddings { dimensions, vectors, fold_in, ann });
            }
            Source::Transition => {
                let events = self.material.events();
                let table = transition::train(events, &settings.transition);
                parts.transition = Arc::new(table);
            }
            // Their settings are read when a list is asked for.
            Source::Repeat | Source::Session => {}
            Source::Popular => {
                let trained = popularity::train(self.material, &settings.popular);
                parts.popularity = Arc::new(trained);
            }
            Source::Catalog | Source::BoughtTogether => {}
        }
        self.snapshot.manifest.settings = settings;
        Ok(())
    }

    /// Mean NDCG at 10 of one source's lists.
    fn ndcg(&self, source: Source) -> f64 {
        let harness = self.harness();
        let cases = &self.cases[..self.cases.len().min(TRIAL_CASES)];
        let (lists, _) = harness.lists(Method::Source(source), cases, K, &|| {});
        let scored = lists.iter().zip(cases);
        let sum: f64 = scored.map(|(list, case)| metrics::score(list, &case.truth, K).ndcg).sum();
        sum / cases.len() as f64
    }

    /// What every source proposes for every case.
    pub fn proposals(&self) -> Vec<Proposals> {
        let harness = self.harness();
        let k = self.snapshot.manifest.settings.blend.candidates;
        self.cases
            .par_iter()
            .map_init(Scratch::default, |scratch, case| {
                let lists = Source::BLENDED.map(|source| {
                    harness.ask(case, Some(source), k, |query| {
                        recommend::candidates(&self.snapshot, source, query, k, scratch)
                    })
                });
                Proposals::new(&lists, &case.truth)
            })
            .collect()
    }

    /// What a second stage would be asked for every case, with these settings.
    pub fn stage_cases(&mut self, settings: &Settings) -> Vec<StageCase> {
        self.snapshot.manifest.settings = *settings;
        let harness = self.harness();
        self.cases
            .par_iter()
            .map_init(Scratch::default, |scratch, case| StageCase {
                candidates: harness.ask(case, None, K, |query| {
                    recommend::stage_rows(&self.snapshot, query, scratch)
                }),
                truth: case.truth.clone(),
            })
            .collect()
    }

    fn harness(&self) -> Harness<'_> {
        Harness {
            events: self.material.events(),
            snapshot: &self.snapshot,
            repeat: self.repeat,
            seed: self.seed,
        }
    }
}

/// A change of one setting.
#[derive(Debug, Clone, Copy)]
enum Trial {
    HalfLife(Source, f64),
    Shape(f32, f32, f32, bool, bool),
    UserPower(f32),
    UserNeighbours(usize),
    Dimensions(usize),
    Lambda(f32),
    Rho(f32),
    RepeatPopularity(f32),
    SessionItems(usize),
    SessionNeighbours(usize),
    TargetPopularity(f32),
    Decay(f32),
}

impl Trial {
    /// Makes the change; false where it changes nothing.
    fn apply(self, settings: &mut Settings) -> bool {
        let before = *settings;
        match self {
            Trial::HalfLife(Source::ItemCf, days) => settings.item_cf.half_life_days = days,
            Trial::HalfLife(Source::UserCf, days) => settings.user_cf.half_life_days = days,
            Trial::HalfLife(Source::Embedding, days) => settings.embedding.half_life_days = days,
            Trial::HalfLife(Source::Ease, days) => settings.ease.half_life_days = days,
            Trial::HalfLife(_, days) => settings.popular.half_life_days = days,
            Trial::Shape(a, b, c, per_target, scaled) => {
                let own = &mut settings.item_cf;
                (own.a, own.b, own.c) = (a, b, c);
                (own.per_target, own.scaled) = (per_target, scaled);
            }
            Trial::UserPower(power) => settings.user_cf.power = power,
            Trial::UserNeighbours(n) => settings.user_cf.neighbours = n,
            Trial::Dimensions(n) => settings.embedding.dimensions = n,
            Trial::Lambda(lambda) => settings.ease.lambda = lambda,
            Trial::Rho(rho) => settings.repeat.rho = rho,
            Trial::RepeatPopularity(exponent) => settings.repeat.popularity = exponent,
            Trial::SessionItems(n) => settings.session.items = n,
            Trial::SessionNeighbours(n) => settings.session.neighbours = n,
            Trial::TargetPopularity(exponent) => settings.transition.target_popularity = exponent,
            Trial::Decay(decay) => settings.transition.decay = decay,
        }
        *settings != before
    }
}

/// What is tried for a source, in order; later trials build on the best so far.
fn trials(source: Source) -> Vec<Trial> {
    let half_lives = |days: &[f64]| -> Vec<Trial> {
        days.iter().map(|&days| Trial::HalfLife(source, days)).collect()
    };
    let more: Vec<Trial> = match source {
        Source::ItemCf => vec![
            Trial::Shape(0.4, 1.0, 0.4, true, false),
            Trial::Shape(0.4, 1.0, 0.4, false, false),
            Trial::Shape(0.8, 0.8, 0.4, false, true),
            Trial::Shape(0.3, 0.5, 0.3, true, false),
        ],
        Source::UserCf => vec![
            Trial::UserPower(1.0),
            Trial::UserPower(2.0),
            Trial::UserNeighbours(100),
            Trial::UserNeighbours(400),
        ],
        Source::Embedding => vec![Trial::Dimensions(64), Trial::Dimensions(256)],
        Source::Ease => vec![Trial::Lambda(20.0), Trial::Lambda(300.0)],
        Source::Repeat => vec![
            Trial::Rho(0.8),
            Trial::Rho(0.9),
            Trial::Rho(0.98),
            Trial::RepeatPopularity(0.0),
            Trial::RepeatPopularity(0.15),
            Trial::RepeatPopularity(0.5),
            Trial::RepeatPopularity(0.7),
        ],
        Source::Session => vec![
            Trial::SessionItems(2),
            Trial::SessionItems(8),
            Trial::SessionNeighbours(50),
            Trial::SessionNeighbours(300),
        ],
        Source::Transition => vec![
            Trial::TargetPopularity(0.0),
            Trial::TargetPopularity(0.5),
            Trial::Decay(0.3),
            Trial::Decay(0.8),
        ],
        Source::Popular => return half_lives(&[7.0, 15.0, 60.0, 0.0]),
        Source::Catalog | Source::BoughtTogether => Vec::new(),
    };
    match source {
        Source::ItemCf | Source::UserCf | Source::Embedding | Source::Ease => {
            half_lives(&HALF_LIVES).into_iter().chain(more).collect()
        }
        _ => more,
    }
}
