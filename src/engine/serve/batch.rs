//! Lists for many users at once, on the background threads, as fast as they are read. No thread
//! waits for a slow reader; a reader that takes nothing for long loses its batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rayon::ThreadPool;
use rayon::prelude::*;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::query::Recommender;
use super::request::{Answer, RecommendRequest};
use crate::domain::{Error, Result};

/// Lists between two checks whether the batch is still read.
const CHUNK: usize = 64;
/// Lists that may wait for a slow reader.
const MAX_WAITING: usize = 2 * CHUNK;
/// Batches at once; one more is refused.
const MAX_BATCHES: usize = 64;

/// Makes batches of lists.
#[derive(Debug)]
pub struct Batches {
    recommender: Arc<Recommender>,
    background: Arc<ThreadPool>,
    places: Arc<Semaphore>,
}

/// The lists of a batch, as they are made.
#[derive(Debug)]
pub struct Batch {
    /// Users with their lists; closed at the end of the batch.
    pub answers: mpsc::Receiver<(String, Result<Answer>)>,
    /// Whether all lists were handed over.
    pub complete: Arc<AtomicBool>,
}

impl Batches {
    pub(in crate::engine) fn new(
        recommender: Arc<Recommender>,
        background: Arc<ThreadPool>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(MAX_BATCHES));
        Self { recommender, background, places }
    }

    /// Answers requests in their order, as fast as single requests leave cores free. Stops when
    /// the receiver is dropped, the store closes, or a list is not received within `patience`.
    /// Call it within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Overloaded`] while 64 batches are under way; [`Error::OtherShard`] where another server makes the
    /// list of one of the users.
    pub fn begin(&self, requests: Vec<RecommendRequest>, patience: Duration) -> Result<Batch> {
        for request in &requests {
            self.recommender.state.check_shard(&request.user_id)?;
        }
        let place = Semaphore::try_acquire_owned(self.places.clone()).map_err(|_| {
            Error::Overloaded(format!("{MAX_BATCHES} batches are under way; try again later"))
        })?;
        let (sender, answers) = mpsc::channel(MAX_WAITING);
        let complete = Arc::new(AtomicBool::new(false));
        let recommender = self.recommender.clone();
        let background = self.background.clone();
        let done = complete.clone();
        tokio::spawn(async move {
            let _place = place;
            let mut rest = requests;
            while !rest.is_empty() {
                if recommender.state.closing.has_begun() {
                    return;
                }

                let later = rest.split_off(rest.len().min(CHUNK));
                let chunk = std::mem::replace(&mut rest, later);
                let Some(answered) = answer_all(&recommender, &background, chunk).await else {
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
}

/// Answers some requests on the background threads; none where one of them panics.
async fn answer_all(
    recommender: &Arc<Recommender>,
    background: &ThreadPool,
    requests: Vec<RecommendRequest>,
) -> Option<Vec<(String, Result<Answer>)>> {
    let (sender, made) = oneshot::channel();
    let recommender = recommender.clone();
    background.spawn(move || {
        let answer = |request: RecommendRequest| {
            let answer = recommender.recommend(&request);
            if let Ok(answer) = &answer {
                recommender.expose(answer, &request);
            }
            (request.user_id, answer)
        };
        // A panic here would end the process; only the batch ends.
        let all = || requests.into_par_iter().map(answer).collect();
        if let Ok(answered) = catch_unwind(AssertUnwindSafe(all)) {
            // The caller may have gone.
            let _ = sender.send(answered);
        }
    });
    made.await.ok()
}
