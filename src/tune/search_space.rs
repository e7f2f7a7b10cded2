//! What may be turned: each setting with the values worth trying, in order, so
//! that a search can climb from where it stands.

use crate::model::settings::EmbeddingTrainer;
use crate::model::{Settings, Source};

/// A setting and its ladder.
#[derive(Clone, Copy)]
pub struct Hyperparameter {
    /// Name for log lines.
    pub name: &'static str,
    /// Values worth trying, in order.
    pub grid: &'static [f64],
    /// Whether the source must be trained anew when it changes.
    pub retrains: bool,
    /// Share by which lists must be better for the next value up to be worth what it costs
    /// every list.
    pub min_gain: f64,
    /// Whether it does anything with these settings.
    pub applies: fn(&Settings) -> bool,
    /// Reads it.
    pub get: fn(&Settings) -> f64,
    /// Writes it.
    pub set: fn(&mut Settings, f64),
}

impl Hyperparameter {
    /// Whether it says how events fade.
    pub fn is_half_life(&self) -> bool {
        self.grid.last() == Some(&NEVER)
    }

    /// The rung nearest to a setting's value.
    pub fn grid_index(&self, settings: &Settings) -> usize {
        // A half-life of 0 says what an endless one does.
        let at = match (self.get)(settings) {
            0.0 if self.is_half_life() => NEVER,
            value => value,
        };
        let far = |grid_index: f64| (grid_index - at).abs();
        let rungs = 0..self.grid.len();
        rungs.min_by(|&a, &b| far(self.grid[a]).total_cmp(&far(self.grid[b]))).unwrap_or(0)
    }
}

macro_rules! parameter {
    ($retrains:expr, $($field:ident).+, $kind:ty, $grid:expr) => {
        Hyperparameter {
            name: stringify!($($field).+),
            grid: &$grid,
            retrains: $retrains,
            min_gain: 0.0,
            applies: |_| true,
            get: |settings| f64::from(settings.$($field).+ as f32),
            set: |settings, value| settings.$($field).+ = value as $kind,
        }
    };
}

/// Half-lives in days; those above the last say: events never fade.
const HALF_LIVES: [f64; 7] = [7.0, 15.0, 30.0, 60.0, 120.0, 240.0, NEVER];
/// A half-life so long that nothing fades.
const NEVER: f64 = 36_500.0;

/// How far events of one item add up.
const COUNTS: [f64; 3] = [0.0, 0.5, 1.0];

/// The forms of item CF: symmetric, the best sources of each target kept, or the
/// best targets of each source; rows scaled to sum 1.
const FORMS: [f64; 3] = [0.0, 1.0, 2.0];

/// What a source that reads the shopper's row begins with: the weighting of events
/// that was found best for user CF, the cheapest of them.
pub fn shared_weighting(source: Source) -> Option<fn(&mut Settings)> {
    macro_rules! borrow {
        ($field:ident) => {
            |s| {
                let of = s.user_cf;
                s.$field.half_life_days = of.half_life_days;
                s.$field.profile_half_life_days = of.profile_half_life_days;
                s.$field.counts = of.counts;
            }
        };
    }
    match source {
        Source::ItemCf => Some(borrow!(item_cf)),
        Source::Ease => Some(borrow!(ease)),
        Source::Embedding => Some(borrow!(embedding)),
        _ => None,
    }
}

/// The dials of a source, in the order in which they are turned.
pub fn of(source: Source) -> Vec<Hyperparameter> {
    match source {
        Source::ItemCf => item_cf(),
        Source::UserCf => vec![
            parameter!(true, user_cf.half_life_days, f64, HALF_LIVES),
            parameter!(false, user_cf.profile_half_life_days, f64, HALF_LIVES),
            parameter!(true, user_cf.counts, f32, COUNTS),
            parameter!(false, user_cf.power, f32, [0.5, 0.75, 1.0, 1.5, 2.0, 3.0]),
            costly(parameter!(
                false,
                user_cf.neighbours,
                usize,
                [50.0, 100.0, 200.0, 400.0, 800.0]
            )),
        ],
        Source::Embedding => embedding(),
        Source::Ease => vec![
            parameter!(true, ease.lambda, f32, [10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0]),
            parameter!(true, ease.half_life_days, f64, HALF_LIVES),
            parameter!(false, ease.profile_half_life_days, f64, HALF_LIVES),
            parameter!(true, ease.counts, f32, COUNTS),
        ],
        Source::Repeat => vec![
            parameter!(false, repeat.rho, f32, [0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0]),
            parameter!(false, repeat.popularity, f32, [0.0, 0.15, 0.3, 0.5, 0.7]),
            parameter!(false, repeat.again, f32, [0.0, 0.25, 0.5, 1.0, 1.5]),
            parameter!(false, repeat.due, f32, [0.0, 0.1, 0.2, 0.4, 0.8]),
        ],
        Source::Session => vec![
            parameter!(false, session.items, usize, [1.0, 2.0, 4.0, 8.0, 16.0]),
            parameter!(false, session.neighbours, usize, [25.0, 50.0, 100.0, 300.0, 1_000.0]),
        ],
        Source::Transition => vec![
            parameter!(false, transition.decay, f32, [0.15, 0.3, 0.6, 0.8, 0.9]),
            parameter!(true, transition.source_popularity, f32, [0.0, 0.5, 1.0]),
            parameter!(true, transition.target_popularity, f32, [0.0, 0.15, 0.3, 0.5]),
            parameter!(true, transition.steps, usize, [1.0, 2.0, 5.0, 10.0]),
        ],
        Source::Popular => vec![parameter!(
            true,
            popular.half_life_days,
            f64,
            [2.0, 7.0, 15.0, 30.0, 60.0, 120.0, NEVER]
        )],
        Source::PushedEmbedding
        | Source::PushedItems
        | Source::PushedUsers
        | Source::PushedPrior
        | Source::Catalog
        | Source::BoughtTogether
        | Source::Fresh
        | Source::Content
        | Source::Category => Vec::new(),
    }
}

/// A dial whose every step up doubles the work of its source.
fn costly(parameter: Hyperparameter) -> Hyperparameter {
    Hyperparameter { min_gain: 0.02, ..parameter }
}

/// Lets nothing fade: where times say nothing, age is noise.
pub fn disable_fading(settings: &mut Settings) {
    for parameter in Source::TRAINED.into_iter().flat_map(of).filter(Hyperparameter::is_half_life) {
        (parameter.set)(settings, NEVER);
    }
}

/// Copies from `other` what may differ between settings that share their training: the
/// dials that retrain nothing, and the blend.
pub fn copy_serving_settings(settings: &mut Settings, other: &Settings) {
    settings.blend = other.blend;
    for parameter in
        Source::TRAINED.into_iter().flat_map(of).filter(|parameter| !parameter.retrains)
    {
        (parameter.set)(settings, (parameter.get)(other));
    }
}

fn item_cf() -> Vec<Hyperparameter> {
    vec![
        Hyperparameter {
            name: "item_cf.form",
            grid: &FORMS,
            retrains: true,
            min_gain: 0.0,
            applies: |_| true,
            get: |s| match (s.item_cf.scaled, s.item_cf.per_target) {
                (false, true) => 0.0,
                (false, false) => 1.0,
                (true, _) => 2.0,
            },
            set: |s, form| {
                (s.item_cf.scaled, s.item_cf.per_target) = (form == 2.0, form == 0.0);
            },
        },
        Hyperparameter {
            name: "item_cf.a, c",
            grid: &[0.1, 0.2, 0.3, 0.4, 0.5],
            retrains: true,
            min_gain: 0.0,
            applies: |_| true,
            get: |s| f64::from(s.item_cf.c),
            set: |s, c| (s.item_cf.a, s.item_cf.c) = (c as f32, c as f32),
        },
        parameter!(true, item_cf.b, f32, [0.25, 0.5, 0.75, 1.0]),
        parameter!(true, item_cf.half_life_days, f64, HALF_LIVES),
        parameter!(false, item_cf.profile_half_life_days, f64, HALF_LIVES),
        parameter!(true, item_cf.counts, f32, COUNTS),
    ]
}

fn embedding() -> Vec<Hyperparameter> {
    let ials = |s: &Settings| s.embedding.trainer == EmbeddingTrainer::Ials;
    vec![
        Hyperparameter {
            name: "embedding.trainer",
            grid: &[0.0, 1.0],
            retrains: true,
            min_gain: 0.0,
            applies: |_| true,
            get: |s| f64::from(u8::from(s.embedding.trainer == EmbeddingTrainer::Ials)),
            set: |s, ials| {
                s.embedding.trainer =
                    if ials == 1.0 { EmbeddingTrainer::Ials } else { EmbeddingTrainer::Svd };
            },
        },
        Hyperparameter {
            applies: ials,
            ..parameter!(true, embedding.unobserved, f32, [0.01, 0.03, 0.1, 0.3, 1.0])
        },
        Hyperparameter {
            applies: ials,
            ..parameter!(true, embedding.regularisation, f32, [0.0003, 0.001, 0.003, 0.01, 0.03])
        },
        parameter!(true, embedding.half_life_days, f64, HALF_LIVES),
        parameter!(false, embedding.profile_half_life_days, f64, HALF_LIVES),
        parameter!(true, embedding.counts, f32, COUNTS),
        costly(parameter!(true, embedding.dimensions, usize, [64.0, 128.0, 256.0])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_reads_what_it_wrote() {
        for source in Source::TRAINED {
            for parameter in of(source) {
                for (grid_index, &value) in parameter.grid.iter().enumerate() {
                    let mut settings = Settings::default();
                    (parameter.set)(&mut settings, value);
                    assert_eq!(
                        parameter.grid_index(&settings),
                        grid_index,
                        "{} {value}",
                        parameter.name
                    );
                }
            }
        }
    }
}
