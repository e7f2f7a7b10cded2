//! Lists for many shoppers at once, on the background threads.

use std::sync::Arc;

use rayon::prelude::*;
use tokio::sync::mpsc;

use super::Engine;
use super::query::{Answer, RecommendRequest};
use crate::domain::Result;

/// Lists that are made between two looks at whether anybody still wants them.
const AT_ONCE: usize = 64;
/// Lists that may wait for a slow reader.
const WAITING: usize = 256;

impl Engine {
    /// Answers requests in their order, as fast as what single requests leave of the
    /// machine allows; stops when nobody receives any more, or the engine closes.
    pub fn recommend_batch(
        self: &Arc<Self>,
        requests: Vec<RecommendRequest>,
    ) -> mpsc::Receiver<(String, Result<Answer>)> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let engine = self.clone();
        // A thread that waits for a slow reader must be none of the pool's.
        tokio::task::spawn_blocking(move || {
            for group in requests.chunks(AT_ONCE) {
                let answers: Vec<Result<Answer>> = engine.background.install(|| {
                    group.par_iter().map(|request| engine.recommend(request)).collect()
                });
                for (request, answer) in group.iter().zip(answers) {
                    let answered = (request.user_id.clone(), answer);
                    if engine.is_closing() || sender.blocking_send(answered).is_err() {
                        return;
                    }
                }
            }
        });
        receiver
    }
}
