//! Item vectors that are learned from what users did next: a user's vector is the mean of the vectors of
//! their last items, weighted by how many steps ago they were, and the next item is the one whose vector
//! points most nearly the same way (CORE: Hou et al., SIGIR 2022, with its linear encoder).
//!
//! With e the vectors and a the weights, u = Σ softmax(a_steps back) e_i over the items of a history;
//! P(j) ∝ exp(cos(u, e_j) / τ), τ = 0.07. The likelihood of the next items is maximised with Adam (Kingma and
//! Ba, ICLR 2015). Of all other items a batch sees a sample, drawn by popularity and corrected for that
//! (Bengio and Senécal, 2008).
//!
//! - `examples`: what came next; `learned`: vectors and weights; `batch`: the gradient of a batch; `adam`: a step

mod adam;
mod batch;
mod examples;
mod learned;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use self::adam::Adam;
use self::batch::Batch;
use self::examples::Examples;
use self::learned::Learned;
use self::learned::TEMPERATURE;
pub use self::learned::{BYTES_PER_EXAMPLE, BYTES_PER_ITEM, ITEMS_BACK, STEPS_BACK};
use crate::domain::ItemIdx;
use crate::domain::progress::{Cancelled, Control};
use crate::matrix::{Csr, UserEvents};
use crate::model::Embeddings;
use crate::model::settings::SequenceSettings;

/// Examples of a batch: fewer where a store has few, so that it takes as many steps.
const BATCH: std::ops::RangeInclusive<usize> = 32..=256;
/// Batches that the examples are enough for at least, where that leaves them large enough.
const BATCHES: usize = 256;
/// Other items that a batch sees.
const NEGATIVES: usize = 512;
/// How often a training looks at an example at most.
const MAX_EPOCHS: usize = 10;

/// Learns the vectors of items, without a graph, not yet quantized, and the weights of the last steps of a
/// history, newest first: one row.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn train(
    events: &UserEvents,
    settings: &SequenceSettings,
    seed: u64,
    control: &Control<'_>,
) -> Result<(Embeddings, Csr), Cancelled> {
    let examples = Examples::of(events, settings.visits);
    let occurrences = examples.occurrences(events.items());
    let mut rng = StdRng::seed_from_u64(seed);
    let mut learned = Learned::begin(&occurrences, &mut rng);
    let mut order: Vec<u32> = (0..examples.len() as u32).collect();

    let epochs = (settings.visits / examples.len().max(1)).clamp(1, MAX_EPOCHS);
    let size = (order.len() / BATCHES).clamp(*BATCH.start(), *BATCH.end());
    let steps = epochs * order.len().div_ceil(size);
    let mut adam = Adam::new(learned.vectors.len(), steps);
    for _ in 0..epochs {
        order.shuffle(&mut rng);
        for of_batch in order.chunks(size) {
            control.check()?;
            let (negatives, shifts) = negatives(&examples, &occurrences, &mut rng);
            let (negatives, shifts) = (&negatives[..], &shifts[..]);
            let batch = Batch { examples: &examples, of_batch, negatives, shifts };
            let gradient = batch.gradient(&learned, rng.random());
            adam.step(&mut learned, &gradient);
        }
    }
    Ok(learned.finish(&occurrences))
}

/// Other items, drawn by how often they occur, and what is added to their scores for that.
fn negatives(
    examples: &Examples,
    occurrences: &[u32],
    rng: &mut StdRng,
) -> (Vec<ItemIdx>, Vec<f32>) {
    let all = examples.items();
    let draw = |_| {
        let item = all[rng.random_range(0..all.len())];
        let expected = NEGATIVES as f32 * occurrences[item as usize] as f32 / all.len() as f32;
        (item, -expected.ln() - 1.0 / TEMPERATURE)
    };
    (0..NEGATIVES).map(draw).unzip()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::domain::{EventKind, HistoryEvent};

    fn learn(events: &UserEvents) -> (Embeddings, Csr) {
        let cancel = AtomicBool::new(false);
        let control = Control::new(&|_| {}, &cancel);
        let settings = SequenceSettings { visits: 40_000, ..SequenceSettings::default() };
        train(events, &settings, 1, &control).unwrap()
    }

    #[test]
    fn the_nearest_item_ahead_is_the_next_one() {
        // Users go round in a circle of 40 items. Those behind are as near. Enough users for batches of two parts.
        let step = |user: u32, n: u32| {
            (user, HistoryEvent::new(EventKind::View, (user + n) % 40, i64::from(n) * 1_000))
        };
        let log: Vec<_> = (0..1_400).flat_map(|user| (0..8).map(move |n| step(user, n))).collect();
        let events = UserEvents::new(1_400, 41, log);
        let (model, fading) = learn(&events);

        let weights = fading.row(0).1;
        assert_eq!((fading.rows(), weights.len()), (1, STEPS_BACK));
        assert!(weights[0] == 1.0 && weights[1] < 1.0, "{weights:?}");
        for item in 0..40 {
            let mut user = vec![0.0; model.dimensions];
            for (back, &weight) in (0..).zip(&weights[..3]) {
                model.fold_in((item + 40 - back) % 40, weight, &mut user);
            }
            let ahead = (1..=30).map(|n| (item + n) % 40);
            let found = model.scan(&user, ahead, 1);
            assert_eq!(found[0].idx, (item + 1) % 40, "after {item}");
        }
        assert!(!model.has(40), "it never occurs");
        assert_eq!(learn(&events), (model, fading), "a seed always learns the same");
    }

    #[test]
    fn nothing_is_learned_from_nothing() {
        let (model, fading) = learn(&UserEvents::default());
        assert_eq!((model.items(), fading.rows()), (0, 1));
        let one = vec![(0, HistoryEvent::new(EventKind::View, 0, 1))];
        assert_eq!(learn(&UserEvents::new(1, 1, one)).0.items(), 1);
    }
}
