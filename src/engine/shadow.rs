//! The shadow model: asked what a share of the shoppers was answered, after they were, on
//! the background threads; what it says is compared and shown to nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::Engine;
use super::comparison::{Comparison, compared};
use super::query::{Answer, RecommendRequest};
use crate::domain::{Generation, Result, now_ms};
use crate::model::Snapshot;

/// Comparisons that may wait or run; while there are so many, requests are not compared.
const MOST_AT_ONCE: usize = 32;

/// What is known of the shadow.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    at_once: AtomicUsize,
    seen: Mutex<Seen>,
}

/// Of one generation: how its lists compare, and the seconds that it took for all of them.
#[derive(Debug, Default)]
struct Seen {
    generation: Generation,
    lists: Comparison,
    seconds: f64,
}

impl Engine {
    /// [`Engine::recommend`], besides compared with the shadow where there is one.
    ///
    /// # Errors
    /// As [`Engine::recommend`].
    pub fn recommend_live(self: &Arc<Self>, request: RecommendRequest) -> Result<Answer> {
        let answer = self.recommend(&request)?;
        let draw = xxh3_64(answer.recommendation_id.as_bytes());
        if let Some(shadow) = self.models().shadow(draw) {
            self.ask_unseen(shadow, request, compared(&answer));
        }
        Ok(answer)
    }

    /// How the shadow's lists compare so far, and its mean time for one in seconds, if this
    /// generation is it.
    pub fn shadow_comparison(&self, generation: Generation) -> Option<(Comparison, f64)> {
        let seen = self.shadow.seen.lock();
        let lists = Some(seen.lists).filter(|l| seen.generation == generation && l.lists > 0)?;
        Some((lists, seen.seconds / lists.lists as f64))
    }

    fn ask_unseen(
        self: &Arc<Self>,
        shadow: Arc<Snapshot>,
        request: RecommendRequest,
        shown: Vec<String>,
    ) {
        if self.shadow.at_once.load(Ordering::Relaxed) >= MOST_AT_ONCE {
            return;
        }
        self.shadow.at_once.fetch_add(1, Ordering::Relaxed);
        let engine = self.clone();
        self.background.spawn(move || {
            // Nobody waits whom a panic would reach.
            let noted = || engine.note_unseen(&shadow, &request, &shown);
            if catch_unwind(AssertUnwindSafe(noted)).is_err() {
                let generation = shadow.manifest.generation;
                tracing::error!(generation, "a bug: the shadow panicked");
            }
            engine.shadow.at_once.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn note_unseen(&self, shadow: &Snapshot, request: &RecommendRequest, shown: &[String]) {
        let started = Instant::now();
        let answer = self.answer_from(shadow, request, now_ms());
        let seconds = started.elapsed().as_secs_f64();
        let mut seen = self.shadow.seen.lock();
        let generation = shadow.manifest.generation;
        if seen.generation != generation {
            *seen = Seen { generation, ..Seen::default() };
        }
        seen.lists.note(&compared(&answer), shown);
        seen.seconds += seconds;
    }
}
