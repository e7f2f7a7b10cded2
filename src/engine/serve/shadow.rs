//! The shadow model: answers a share of the requests a second time, on the background threads;
//! its lists are compared with those shown, and are shown to no user.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rayon::ThreadPool;
use xxhash_rust::xxh3::xxh3_64;

use super::comparison::{Comparison, compared_ids};
use super::request::Answer;
use crate::domain::Generation;
use crate::model::Snapshot;

/// Comparisons that may wait or run; beyond that, requests are not compared.
const MAX_PENDING: usize = 32;

/// Compares the shadow's lists with those shown.
#[derive(Debug)]
pub(super) struct ShadowComparer {
    background: Arc<ThreadPool>,
    tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    pending: AtomicUsize,
    compared: Mutex<Compared>,
}

/// The comparison of one generation's lists, and the seconds that it took to make them.
#[derive(Debug, Default)]
struct Compared {
    generation: Generation,
    lists: Comparison,
    seconds: f64,
}

/// The random number that decides whether an answer is compared.
pub(super) fn draw(answer: &Answer) -> u64 {
    xxh3_64(answer.recommendation_id.as_bytes())
}

impl ShadowComparer {
    pub(super) fn new(background: Arc<ThreadPool>) -> Self {
        Self { background, tally: Arc::default() }
    }

    /// Makes the shadow's list in the background by `ask`, and compares it with the one shown.
    pub(super) fn compare(
        &self,
        snapshot: Arc<Snapshot>,
        shown: &Answer,
        ask: impl FnOnce(&Snapshot) -> Answer + Send + 'static,
    ) {
        if self.tally.pending.load(Ordering::Relaxed) >= MAX_PENDING {
            return;
        }
        self.tally.pending.fetch_add(1, Ordering::Relaxed);

        let shown = compared_ids(shown);
        let tally = self.tally.clone();
        self.background.spawn(move || {
            let compare = || {
                let started = Instant::now();
                let answer = ask(&snapshot);
                let seconds = started.elapsed().as_secs_f64();
                tally.note(snapshot.manifest.generation, &answer, &shown, seconds);
            };

            // No caller waits who would see a panic.
            if catch_unwind(AssertUnwindSafe(compare)).is_err() {
                let generation = snapshot.manifest.generation;
                tracing::error!(generation, "a bug: the shadow panicked");
            }
            tally.pending.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// The comparison so far and the mean seconds a list, if this generation is the shadow.
    pub(super) fn comparison(&self, generation: Generation) -> Option<(Comparison, f64)> {
        let compared = self.tally.compared.lock();
        let lists = Some(compared.lists)
            .filter(|lists| compared.generation == generation && lists.lists > 0)?;
        Some((lists, compared.seconds / lists.lists as f64))
    }
}

impl Tally {
    fn note(&self, generation: Generation, answer: &Answer, shown: &[String], seconds: f64) {
        let mut compared = self.compared.lock();
        if compared.generation != generation {
            *compared = Compared { generation, ..Compared::default() };
        }
        compared.lists.note(&compared_ids(answer), shown);
        compared.seconds += seconds;
    }
}
