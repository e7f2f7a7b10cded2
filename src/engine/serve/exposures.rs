//! Records what was shown: answers wait in a bounded queue, and a thread writes them to the log in
//! batches. No answer waits for it; what the queue has no room for is counted and not recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::request::Answer;
use crate::domain::{Error, Result, UserIdx, now_ms};
use crate::engine::state::State;
use crate::engine::write::{Write, Writer};
use crate::store::Exposure;

/// Maximum number of exposures that wait.
const CAPACITY: usize = 20_000;
/// Waiting exposures that are written at once.
const ENOUGH: usize = 2_000;
/// Longest time that an exposure waits.
const INTERVAL: Duration = Duration::from_millis(100);

/// Takes exposures. Dropping it writes those that wait.
#[derive(Debug)]
pub(super) struct Exposures {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    /// Share of the answers that is recorded.
    share: f64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Vec<Exposure<'static>>>,
    changed: Condvar,
    closing: AtomicBool,
}

impl Exposures {
    pub(super) fn start(state: Arc<State>, writer: Writer, share: f64) -> Result<Self> {
        let queue = Arc::new(Queue::default());
        let of_thread = queue.clone();
        let thread = std::thread::Builder::new()
            .name("exposures".into())
            .spawn(move || write_all(&of_thread, &state, &writer))
            .map_err(|e| {
                Error::Storage(format!("the exposures' thread does not start: {e}").into())
            })?;
        Ok(Self { queue, thread: Some(thread), share })
    }

    /// Notes that an answer is shown, to `user` where they consent.
    pub(super) fn note(
        &self,
        answer: &Answer,
        user: Option<UserIdx>,
        placement: &str,
        state: &State,
    ) {
        let id = answer.recommendation_id;
        // The last bits of the id are random.
        let drawn = (id.as_u128() as u32) as f64 / f64::from(u32::MAX);
        if drawn > self.share || self.share == 0.0 {
            return;
        }

        let shown = || answer.entries.iter().filter_map(|entry| Some((entry, entry.idx?)));
        let propensities: Vec<f32> = shown().map(|(entry, _)| entry.propensity).collect();
        let is_certain = propensities.iter().all(|&propensity| propensity == 1.0);
        let exposure = Exposure {
            user,
            recommendation_id: id.as_u128(),
            time_ms: now_ms(),
            generation: answer.generation,
            placement: placement.to_owned().into(),
            variant: "".into(),
            items: shown().map(|(_, idx)| idx).collect(),
            sources: shown().map(|(entry, _)| entry.source.number() as u8).collect(),
            propensities: if is_certain { Vec::new() } else { propensities },
        };

        let mut waiting = self.queue.waiting.lock();
        if waiting.len() == CAPACITY {
            state.stats.exposures_lost.inc();
            return;
        }
        waiting.push(exposure);
        if waiting.len() == ENOUGH {
            self.queue.changed.notify_one();
        }
    }
}

impl Drop for Exposures {
    fn drop(&mut self) {
        self.queue.closing.store(true, Ordering::Release);
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the exposures' thread panicked");
        }
    }
}

/// Writes what waits, until the queue closes.
fn write_all(queue: &Queue, state: &State, writer: &Writer) {
    loop {
        let closing = queue.closing.load(Ordering::Acquire);
        let mut waiting = queue.waiting.lock();
        if waiting.len() < ENOUGH && !closing {
            queue.changed.wait_for(&mut waiting, INTERVAL);
        }
        let batch = std::mem::take(&mut *waiting);
        drop(waiting);

        if !batch.is_empty() {
            let count = batch.len() as u64;
            let written = writer.submit_blocking(Write::Exposures(batch));
            match written.and_then(|pending| pending.wait()) {
                Ok(_) => drop(state.stats.exposures.inc_by(count)),
                // The committer says why writes fail.
                Err(_) => drop(state.stats.exposures_lost.inc_by(count)),
            }
        }
        if closing {
            return;
        }
    }
}
