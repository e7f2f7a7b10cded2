//! Notes what was shown, and asks for it to be recorded where no event does so first.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::request::{Answer, RecommendRequest};
use crate::domain::{Error, Result, UserIdx, now_ms};
use crate::engine::state::State;
use crate::engine::write::{Write, Writer};
use crate::store::Exposure;

/// Time between two attempts to write what waits, where the first fails.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes exposures. Dropping it writes those that wait.
#[derive(Debug)]
pub(super) struct Exposures {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
    /// Share of the answers that is recorded.
    share: f64,
}

impl Exposures {
    pub(super) fn start(state: Arc<State>, writer: Writer, share: f64) -> Result<Self> {
        // A follower sends them to the server that writes.
        if state.lease.is_follower() {
            return Ok(Self { state, thread: None, share });
        }
        let of_thread = state.clone();
        let thread = std::thread::Builder::new()
            .name("exposures".into())
            .spawn(move || write_all(&of_thread, &writer))
            .map_err(|e| {
                Error::Storage(format!("the exposures' thread does not start: {e}").into())
            })?;
        Ok(Self { state, thread: Some(thread), share })
    }

    /// Notes that an answer is shown, to `user` where they consent; without one, to a session that has
    /// this hash.
    pub(super) fn note(
        &self,
        answer: &Answer,
        user: Option<UserIdx>,
        session: u64,
        request: &RecommendRequest,
    ) {
        let id = answer.recommendation_id;
        // The last bits of the id are random.
        let drawn = (id.as_u128() as u32) as f64 / f64::from(u32::MAX);
        let is_drawn = drawn <= self.share && self.share > 0.0;
        // An experiment needs every list.
        if !is_drawn && request.variant.is_empty() {
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
            placement: request.placement.clone().into(),
            variant: request.variant.clone().into(),
            items: shown().map(|(_, idx)| idx).collect(),
            sources: shown().map(|(entry, _)| entry.source.number() as u8).collect(),
            propensities: if is_certain { Vec::new() } else { propensities },
            session,
            teams: answer.teams.clone(),
        };

        if !self.state.exposures.push(exposure) {
            self.state.stats.exposures_lost.inc();
        }
    }
}

impl Drop for Exposures {
    fn drop(&mut self) {
        self.state.exposures.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the exposures' thread panicked");
        }
    }
}

/// Asks for what waits to be written, until the queue closes.
fn write_all(state: &State, writer: &Writer) {
    loop {
        let goes_on = state.exposures.wait();
        if !state.exposures.is_empty()
            && let Ok(pending) = writer.submit_blocking(Write::Exposures)
        {
            // The committer counts what is written and what is lost, and says why writes fail.
            if pending.wait().is_err() {
                std::thread::sleep(PAUSE);
            }
        }
        if !goes_on {
            return;
        }
    }
}
