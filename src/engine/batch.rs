//! Lists for many shoppers at once, on the background threads, as fast as they are read: no thread
//! waits for a slow reader, and one that takes nothing for long loses its batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rayon::prelude::*;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::Engine;
use super::query::{Answer, RecommendRequest};
use crate::domain::{Error, Result};

/// Lists that are made between two looks at whether anybody still wants them.
const AT_ONCE: usize = 64;
/// Lists that may wait for a slow reader.
const WAITING: usize = 2 * AT_ONCE;
/// Batches at once; one more is refused.
pub(super) const BATCHES: usize = 64;

/// The lists of a batch, as they are made.
#[derive(Debug)]
pub struct Batch {
    /// Users with their lists; it ends with the batch.
    pub answers: mpsc::Receiver<(String, Result<Answer>)>,
    /// Whether all of them were handed over.
    pub complete: Arc<AtomicBool>,
}

impl Engine {
    /// Answers requests in their order, as fast as what single requests leave of the
    /// machine allows; stops when nothing is received any more, the engine closes, or a list is
    /// not received within `patience`.
    ///
    /// # Errors
    /// [`Error::Overloaded`] while too many batches are under way.
    pub fn recommend_batch(
        self: &Arc<Self>,
        requests: Vec<RecommendRequest>,
        patience: Duration,
    ) -> Result<Batch> {
        let full =
            || Error::Overloaded(format!("{BATCHES} batches are under way; try again later"));
        let place = Semaphore::try_acquire_owned(self.batches.clone()).map_err(|_| full())?;
        let (sender, answers) = mpsc::channel(WAITING);
        let complete = Arc::new(AtomicBool::new(false));
        let (engine, done) = (self.clone(), complete.clone());
        tokio::spawn(async move {
            let _place = place;
            let mut rest = requests;
            while !rest.is_empty() {
                if engine.is_closing() {
                    return;
                }
                let later = rest.split_off(rest.len().min(AT_ONCE));
                let Some(answered) = engine.answer_all(std::mem::replace(&mut rest, later)).await
                else {
                    return;
                };
                for answer in answered {
                    if sender.send_timeout(answer, patience).await.is_err() {
                        return;
                    }
                }
            }
            done.store(true, Ordering::Release);
        });
        Ok(Batch { answers, complete })
    }

    /// Answers some requests on the background threads; none where they end before.
    async fn answer_all(
        self: &Arc<Self>,
        requests: Vec<RecommendRequest>,
    ) -> Option<Vec<(String, Result<Answer>)>> {
        let (sender, made) = oneshot::channel();
        let engine = self.clone();
        self.background.spawn(move || {
            let answer = |request: RecommendRequest| {
                let answer = engine.recommend(&request);
                (request.user_id, answer)
            };
            // A panic here would take the process along; the batch alone ends.
            let all = || requests.into_par_iter().map(answer).collect();
            if let Ok(answered) = catch_unwind(AssertUnwindSafe(all)) {
                // Whoever asked may have gone.
                let _ = sender.send(answered);
            }
        });
        made.await.ok()
    }
}
