//! The trainer's thread: waits for a job, runs it, reports. A training that fails or panics
//! leaves the active model in place.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::lists;
use super::queue::{Job, JobQueue, Work};
use super::run::Runner;
use super::schedule::Schedule;
use super::status::{TrainingState, TrainingStatus};
use super::timeline::Timeline;
use crate::domain::progress::{Control, Stage};
use crate::domain::{Error, Offset, Result};
use crate::engine::stats::Outcome;
use crate::engine::threads::Threads;
use crate::model::Manifest;
use crate::store::{Unfinished, unfinished};

/// Time between two checks of the schedule.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// What the thread works with.
pub(super) struct Worker {
    runner: Runner,
    queue: Arc<JobQueue>,
    threads: Threads,
}

impl Worker {
    pub(super) fn new(runner: Runner, queue: Arc<JobQueue>, threads: Threads) -> Self {
        Self { runner, queue, threads }
    }

    /// Works until the store closes.
    pub(super) fn run(self) {
        let state = &self.runner.state;
        if state.lease.is_follower() && !state.seats.hands_over {
            return self.follow();
        }
        let is_unfinished = Unfinished::is_waiting(state.folder.root());
        let mut schedule = Schedule::new(self.trained_to(), is_unfinished);
        if self.runner.options().automatic {
            self.prepare_missing_lists();
        }

        while let Some(job) = self.next_job(&mut schedule) {
            let Some(turn) = self.threads.turns.take(self.queue.cancel()) else { break };
            let started = Instant::now();
            let live = &self.runner.state.live;
            let offset = live.offset();
            let trainable = live.trainable();
            let work = job.work;
            let is_done = self.work(job, started, offset);
            let state = &self.runner.state;
            schedule.note(state, (work, is_done), trainable, started.elapsed());
            self.prepare_missing_lists();
            drop(turn);
        }
    }

    /// Keeps up a store that follows another: it trains nothing.
    fn follow(&self) {
        while self.queue.rest(INTERVAL) {
            self.prepare_missing_lists();
        }
    }

    /// How much of the log the active model was trained on, as [`Live::trainable`] counts; at least,
    /// as exposures since then count too.
    ///
    /// [`Live::trainable`]: crate::live::Live::trainable
    fn trained_to(&self) -> Option<u64> {
        let state = &self.runner.state;
        let model = state.models.active()?;
        let since = state.live.offset().saturating_sub(model.manifest.offset);
        Some(state.live.trainable().saturating_sub(since))
    }

    fn next_job(&self, schedule: &mut Schedule) -> Option<Job> {
        let state = &self.runner.state;
        self.queue.next(
            INTERVAL,
            || state.live.trainable(),
            |trainable, is_quiet| {
                if !state.seats.may_train() {
                    // What is trained meanwhile is trained elsewhere.
                    schedule.note_elsewhere(self.trained_to());
                    return None;
                }
                schedule.due(state, &self.runner.options(), trainable, is_quiet).map(Job::new)
            },
        )
    }

    /// Does one job, a training of the log up to `offset` or what the active model was trained on; reports
    /// its stages and its outcome, and returns whether it succeeded.
    fn work(&self, job: Job, started: Instant, offset: Offset) -> bool {
        tracing::info!(job = job.id, work = ?job.work, offset, "the trainer begins");
        let before = self.runner.state.models.active();
        let is_tuned = job.work == Work::Tuned;
        let timeline = Timeline::new(started, before.as_deref(), offset, !is_tuned);
        let status = |state| TrainingStatus {
            id: job.id.clone(),
            expected: timeline.expected(&state),
            state,
            elapsed: started.elapsed(),
            at: Instant::now(),
            quality: Default::default(),
        };

        let report_stage = |stage: Stage| {
            timeline.begin(stage);
            self.report(job.work, status(TrainingState::Running(stage)));
        };
        let control = Control::new(&report_stage, self.queue.cancel());
        let work = || match job.work {
            Work::Tuned => self.runner.train(&control, &timeline, offset, false),
            Work::Quick => self.runner.train(&control, &timeline, offset, true),
            Work::Unlearn => self.runner.unlearn(&control, &timeline),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| self.threads.background.install(work)));
        let outcome =
            outcome.unwrap_or_else(|panic| Err(Error::Training(panic_message(&*panic).into())));

        let kind = match &outcome {
            Ok(_) => Outcome::Succeeded,
            Err(Error::HeldBack(_)) => Outcome::Held,
            Err(_) => Outcome::Failed,
        };
        if job.work != Work::Unlearn {
            self.runner.state.stats.note_training(kind);
        }
        if is_tuned && !self.queue.cancel().load(Ordering::Relaxed) {
            // Only one that is stopped goes on.
            let removed = unfinished::remove(self.runner.state.folder.root());
            removed.unwrap_or_else(|error| tracing::warn!(%error, "the training begins again"));
        }
        let (state, quality) = ended(outcome);
        let quality_before = before.map_or_else(BTreeMap::new, |b| b.manifest.quality.clone());
        let then = if kind == Outcome::Held { None } else { self.tuned_job_after(&job) };
        self.queue.finish(then);
        let quality = [quality, quality_before];
        self.report(job.work, TrainingStatus { quality, ..status(state) });
        kind == Outcome::Succeeded
    }

    /// A quick training is followed by one with tuning.
    fn tuned_job_after(&self, job: &Job) -> Option<Job> {
        let options = self.runner.options();
        let is_quick = job.work == Work::Quick;
        (is_quick && options.tune && options.automatic).then(|| Job::new(Work::Tuned))
    }

    fn prepare_missing_lists(&self) {
        let control = Control::new(&|_| {}, self.queue.cancel());
        let prepare = || {
            let has_request = || self.queue.has_request();
            lists::prepare_missing(&self.runner, has_request, &control)
        };
        self.threads.background.install(prepare);
    }

    /// Logs a status, and passes that of a training to its watchers.
    fn report(&self, work: Work, status: TrainingStatus) {
        let seconds = status.elapsed.as_secs_f64();
        match &status.state {
            TrainingState::Running(stage) => {
                tracing::info!(job = status.id, ?work, stage = stage.name(), seconds, "training");
            }
            TrainingState::Succeeded(generation) => {
                tracing::info!(job = status.id, ?work, generation, seconds, "model published");
            }
            TrainingState::Failed(why) => {
                tracing::warn!(
                    job = status.id,
                    ?work,
                    why,
                    seconds,
                    "training failed; the active model stays"
                );
            }
        }
        if work != Work::Unlearn {
            self.queue.publish(status);
        }
    }
}

/// The last state of a training, and the quality of its model.
fn ended(outcome: Result<Manifest>) -> (TrainingState, BTreeMap<String, f64>) {
    match outcome {
        Ok(manifest) => (TrainingState::Succeeded(manifest.generation), manifest.quality),
        Err(error) => (TrainingState::Failed(error.to_string()), BTreeMap::new()),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a bug: the trainer panicked: {}", message.unwrap_or("without a message"))
}
