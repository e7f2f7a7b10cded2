//! What may be turned: each setting with the values worth trying, in order, so
//! that a search can climb from where it stands.

use crate::model::settings::EmbeddingTrainer;
use crate::model::{Settings, Source};

/// A setting and its ladder.
#[derive(Clone, Copy)]
pub struct Dial {
    /// Name for log lines.
    pub name: &'static str,
    /// Values worth trying, in order.
    pub ladder: &'static [f64],
    /// Whether the source must be trained anew when it changes.
    pub retrains: bool,
    /// Share by which lists must be better for the next value up to be worth what it costs
    /// every list.
    pub worth: f64,
    /// Whether it does anything with these settings.
    pub matters: fn(&Settings) -> bool,
    /// Reads it.
    pub get: fn(&Settings) -> f64,
    /// Writes it.
    pub set: fn(&mut Settings, f64),
}

impl Dial {
    /// Whether it says how events fade.
    pub fn is_half_life(&self) -> bool {
        self.ladder.last() == Some(&NEVER)
    }

    /// The rung nearest to a setting's value.
    pub fn rung(&self, settings: &Settings) -> usize {
        // A half-life of 0 says what an endless one does.
        let at = match (self.get)(settings) {
            0.0 if self.is_half_life() => NEVER,
            value => value,
        };
        let far = |rung: f64| (rung - at).abs();
        let rungs = 0..self.ladder.len();
        rungs.min_by(|&a, &b| far(self.ladder[a]).total_cmp(&far(self.ladder[b]))).unwrap_or(0)
    }
}

macro_rules! dial {
    ($retrains:expr, $($field:ident).+, $kind:ty, $ladder:expr) => {
        Dial {
            name: stringify!($($field).+),
            ladder: &$ladder,
            retrains: $retrains,
            worth: 0.0,
            matters: |_| true,
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
pub fn borrowed(source: Source) -> Option<fn(&mut Settings)> {
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
pub fn of(source: Source) -> Vec<Dial> {
    match source {
        Source::ItemCf => item_cf(),
        Source::UserCf => vec![
            dial!(true, user_cf.half_life_days, f64, HALF_LIVES),
            dial!(false, user_cf.profile_half_life_days, f64, HALF_LIVES),
            dial!(true, user_cf.counts, f32, COUNTS),
            dial!(false, user_cf.power, f32, [0.5, 0.75, 1.0, 1.5, 2.0, 3.0]),
            costly(dial!(false, user_cf.neighbours, usize, [50.0, 100.0, 200.0, 400.0, 800.0])),
        ],
        Source::Embedding => embedding(),
        Source::Ease => vec![
            dial!(true, ease.lambda, f32, [10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0]),
            dial!(true, ease.half_life_days, f64, HALF_LIVES),
            dial!(false, ease.profile_half_life_days, f64, HALF_LIVES),
            dial!(true, ease.counts, f32, COUNTS),
        ],
        Source::Repeat => vec![
            dial!(false, repeat.rho, f32, [0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0]),
            dial!(false, repeat.popularity, f32, [0.0, 0.15, 0.3, 0.5, 0.7]),
            dial!(false, repeat.again, f32, [0.0, 0.25, 0.5, 1.0, 1.5]),
            dial!(false, repeat.due, f32, [0.0, 0.1, 0.2, 0.4, 0.8]),
        ],
        Source::Session => vec![
            dial!(false, session.items, usize, [1.0, 2.0, 4.0, 8.0, 16.0]),
            dial!(false, session.neighbours, usize, [25.0, 50.0, 100.0, 300.0, 1_000.0]),
        ],
        Source::Transition => vec![
            dial!(false, transition.decay, f32, [0.15, 0.3, 0.6, 0.8, 0.9]),
            dial!(true, transition.source_popularity, f32, [0.0, 0.5, 1.0]),
            dial!(true, transition.target_popularity, f32, [0.0, 0.15, 0.3, 0.5]),
            dial!(true, transition.steps, usize, [1.0, 2.0, 5.0, 10.0]),
        ],
        Source::Popular => vec![dial!(
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
fn costly(dial: Dial) -> Dial {
    Dial { worth: 0.02, ..dial }
}

/// Lets nothing fade: where times say nothing, age is noise.
pub fn forget_time(settings: &mut Settings) {
    for dial in Source::TRAINED.into_iter().flat_map(of).filter(Dial::is_half_life) {
        (dial.set)(settings, NEVER);
    }
}

/// Copies from `other` what may differ between settings that share their training: the
/// dials that retrain nothing, and the blend.
pub fn copy_untrained(settings: &mut Settings, other: &Settings) {
    settings.blend = other.blend;
    for dial in Source::TRAINED.into_iter().flat_map(of).filter(|dial| !dial.retrains) {
        (dial.set)(settings, (dial.get)(other));
    }
}

fn item_cf() -> Vec<Dial> {
    vec![
        Dial {
            name: "item_cf.form",
            ladder: &FORMS,
            retrains: true,
            worth: 0.0,
            matters: |_| true,
            get: |s| match (s.item_cf.scaled, s.item_cf.per_target) {
                (false, true) => 0.0,
                (false, false) => 1.0,
                (true, _) => 2.0,
            },
            set: |s, form| {
                (s.item_cf.scaled, s.item_cf.per_target) = (form == 2.0, form == 0.0);
            },
        },
        Dial {
            name: "item_cf.a, c",
            ladder: &[0.1, 0.2, 0.3, 0.4, 0.5],
            retrains: true,
            worth: 0.0,
            matters: |_| true,
            get: |s| f64::from(s.item_cf.c),
            set: |s, c| (s.item_cf.a, s.item_cf.c) = (c as f32, c as f32),
        },
        dial!(true, item_cf.b, f32, [0.25, 0.5, 0.75, 1.0]),
        dial!(true, item_cf.half_life_days, f64, HALF_LIVES),
        dial!(false, item_cf.profile_half_life_days, f64, HALF_LIVES),
        dial!(true, item_cf.counts, f32, COUNTS),
    ]
}

fn embedding() -> Vec<Dial> {
    let ials = |s: &Settings| s.embedding.trainer == EmbeddingTrainer::Ials;
    vec![
        Dial {
            name: "embedding.trainer",
            ladder: &[0.0, 1.0],
            retrains: true,
            worth: 0.0,
            matters: |_| true,
            get: |s| f64::from(u8::from(s.embedding.trainer == EmbeddingTrainer::Ials)),
            set: |s, ials| {
                s.embedding.trainer =
                    if ials == 1.0 { EmbeddingTrainer::Ials } else { EmbeddingTrainer::Svd };
            },
        },
        Dial {
            matters: ials,
            ..dial!(true, embedding.unobserved, f32, [0.01, 0.03, 0.1, 0.3, 1.0])
        },
        Dial {
            matters: ials,
            ..dial!(true, embedding.regularisation, f32, [0.0003, 0.001, 0.003, 0.01, 0.03])
        },
        dial!(true, embedding.half_life_days, f64, HALF_LIVES),
        dial!(false, embedding.profile_half_life_days, f64, HALF_LIVES),
        dial!(true, embedding.counts, f32, COUNTS),
        costly(dial!(true, embedding.dimensions, usize, [64.0, 128.0, 256.0])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_reads_what_it_wrote() {
        for source in Source::TRAINED {
            for dial in of(source) {
                for (rung, &value) in dial.ladder.iter().enumerate() {
                    let mut settings = Settings::default();
                    (dial.set)(&mut settings, value);
                    assert_eq!(dial.rung(&settings), rung, "{} {value}", dial.name);
                }
            }
        }
    }
}
