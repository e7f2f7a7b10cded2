//! The job queue between the trainer's handle and its thread: at most one job waits, and one
//! runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::broadcast;

use super::status::TrainingStatus;

/// Status messages that a slow watcher may fall behind before it misses some.
const WATCH_BUFFER: usize = 64;

/// The kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Trains with tuned settings.
    Tuned,
    /// Trains with the settings as they are, to publish a model sooner.
    Quick,
    /// Takes erased users out of the active model and the log's files.
    Unlearn,
}

/// A piece of work, with an id for its watchers.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) work: Work,
}

impl Job {
    pub(super) fn new(work: Work) -> Self {
        Self { id: uuid::Uuid::now_v7().to_string(), work }
    }
}

/// The queue, shared by the handle and the thread.
#[derive(Debug)]
pub(super) struct JobQueue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
    cancel: AtomicBool,
    /// None once the store closes, which ends every watch.
    watchers: Mutex<Option<broadcast::Sender<TrainingStatus>>>,
}

#[derive(Debug, Default)]
pub(super) struct Jobs {
    requested: Option<Job>,
    running: Option<Job>,
    latest: Option<TrainingStatus>,
    closing: bool,
    /// Number of holders that keep automatic trainings from starting.
    holds: usize,
    /// Records of the log at the last look.
    last_records: u64,
}

impl Default for JobQueue {
    fn default() -> Self {
        Self {
            jobs: Mutex::default(),
            changed: Condvar::new(),
            cancel: AtomicBool::new(false),
            watchers: Mutex::new(Some(broadcast::Sender::new(WATCH_BUFFER))),
        }
    }
}

impl JobQueue {
    /// Requests a training: the id of the one that runs or waits, and false; or of a new one,
    /// and true.
    pub(super) fn request(&self, quick: bool) -> (String, bool) {
        let mut jobs = self.jobs.lock();
        if let Some(id) = jobs.training() {
            return (id, false);
        }
        let job = Job::new(if quick { Work::Quick } else { Work::Tuned });
        let id = job.id.clone();
        jobs.requested = Some(job);
        self.changed.notify_all();
        (id, true)
    }

    /// The number of jobs that run or wait.
    pub(super) fn pending(&self) -> usize {
        let jobs = self.jobs.lock();
        usize::from(jobs.running.is_some()) + usize::from(jobs.requested.is_some())
    }

    /// Whether a training is requested and waits.
    pub(super) fn has_request(&self) -> bool {
        self.jobs.lock().requested.is_some()
    }

    /// Waits for the next job: a requested one, or one that `is_due` starts, which is asked
    /// every `interval` with the end of the log and whether the log is quiet. None once the
    /// store closes.
    pub(super) fn next(
        &self,
        interval: Duration,
        records: impl Fn() -> u64,
        mut is_due: impl FnMut(u64, bool) -> Option<Job>,
    ) -> Option<Job> {
        let mut jobs = self.jobs.lock();
        loop {
            if jobs.closing {
                return None;
            }

            let records = records();
            let is_quiet = std::mem::replace(&mut jobs.last_records, records) == records;
            let due = if jobs.holds == 0 { is_due(records, is_quiet) } else { None };
            if let Some(job) = jobs.requested.take().or(due) {
                jobs.running = Some(job.clone());
                return Some(job);
            }
            self.changed.wait_for(&mut jobs, interval);
        }
    }

    /// Waits for `interval`; false once the store closes.
    pub(super) fn rest(&self, interval: Duration) -> bool {
        let mut jobs = self.jobs.lock();
        if !jobs.closing {
            self.changed.wait_for(&mut jobs, interval);
        }
        !jobs.closing
    }

    /// Ends the running job; `then` waits next, unless another is requested.
    pub(super) fn finish(&self, then: Option<Job>) {
        let mut jobs = self.jobs.lock();
        jobs.running = None;
        jobs.requested = jobs.requested.take().or(then);
    }

    /// Cancels the running job, starts no other, and ends every watch.
    pub(super) fn close(&self) {
        self.cancel.store(true, Ordering::Relaxed);
        self.jobs.lock().closing = true;
        self.changed.notify_all();
        *self.watchers.lock() = None;
    }

    /// The flag that cancels the running job.
    pub(super) fn cancel(&self) -> &AtomicBool {
        &self.cancel
    }

    pub(super) fn hold(&self) {
        self.jobs.lock().holds += 1;
    }

    pub(super) fn release(&self) {
        self.jobs.lock().holds -= 1;
    }

    /// The latest status of a training, the id of the one that runs or waits, and all changes to come.
    pub(super) fn watch(
        &self,
    ) -> (Option<TrainingStatus>, Option<String>, broadcast::Receiver<TrainingStatus>) {
        let jobs = self.jobs.lock();
        (jobs.latest.clone(), jobs.training(), self.subscribe())
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<TrainingStatus> {
        match &*self.watchers.lock() {
            Some(watchers) => watchers.subscribe(),
            // The sender is dropped, so the receiver reports a closed channel at once.
            None => broadcast::Sender::new(1).subscribe(),
        }
    }

    /// Passes a status to all watchers.
    pub(super) fn publish(&self, status: TrainingStatus) {
        self.jobs.lock().latest = Some(status.clone());
        if let Some(watchers) = &*self.watchers.lock() {
            // There may be no subscribers.
            let _ = watchers.send(status);
        }
    }
}

impl Jobs {
    /// The training that runs or waits. One that has just begun may not have reported a stage yet.
    fn training(&self) -> Option<String> {
        let mut all = self.running.iter().chain(&self.requested);
        all.find(|job| job.work != Work::Unlearn).map(|job| job.id.clone())
    }
}
