//! The one thread that trains, on the background pool. It starts when asked, by schedule,
//! when the log has grown, and when users were erased. A training that fails, or panics,
//! leaves the model that answers in place and says why.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::broadcast;

use super::State;
use super::committer::Committer;
use super::erasure;
use super::options::{EngineOptions, TrainOptions};
use super::timeline::Timeline;
use crate::domain::progress::{Control, Stage};
use crate::domain::{Error, Generation, Offset, Result};
use crate::recommend::RepeatPolicy;

/// How often schedule and growth are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a training may take to hear that the store closes: some steps look up seldom.
const PATIENCE: Duration = Duration::from_secs(5);
/// When a training that is owed to erased users is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// Messages a slow watcher may fall behind before it misses some.
const WATCH_BUFFER: usize = 64;

/// How far a training is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrainingState {
    /// At work on a stage.
    Running(Stage),
    /// Its model is published.
    Succeeded(Generation),
    /// It ended without a model; this is why.
    Failed(String),
}

/// A training as its watchers see it.
#[derive(Debug, Clone)]
pub struct TrainingStatus {
    /// Names the training.
    pub id: String,
    /// How far it is.
    pub state: TrainingState,
    /// Since it began, when this was told.
    pub elapsed: Duration,
    /// When this was told.
    pub at: Instant,
    /// By the training before: how long the stage takes, and all stages after it.
    pub expected: Option<(Duration, Duration)>,
    /// Measured quality of its model, once that is published, and of the one before.
    pub quality: [BTreeMap<String, f64>; 2],
}

impl TrainingStatus {
    /// How long it has been going on and may still go on.
    pub fn elapsed_and_left(&self) -> (Duration, Option<Duration>) {
        if self.has_ended() {
            return (self.elapsed, None);
        }
        let since = self.at.elapsed();
        let left = self.expected.map(|(stage, later)| stage.saturating_sub(since) + later);
        (self.elapsed + since, left)
    }

    /// Whether nothing more will follow.
    pub fn has_ended(&self) -> bool {
        !matches!(self.state, TrainingState::Running(_))
    }
}

/// Handle of the thread; dropping it stops a running training and ends it, or leaves it to end
/// with the process where the training does not hear.
#[derive(Debug)]
pub struct Trainer {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// Where trainings are asked for and reported.
#[derive(Debug)]
struct Desk {
    orders: Mutex<Orders>,
    changed: Condvar,
    cancel: AtomicBool,
    /// Gone once the store closes, which ends every watch.
    watchers: Mutex<Option<broadcast::Sender<TrainingStatus>>>,
}

/// A training that is asked for.
#[derive(Debug, Clone)]
struct Order {
    id: String,
    /// With the settings as they are: the model is wanted now.
    quick: bool,
}

#[derive(Debug, Default)]
struct Orders {
    requested: Option<Order>,
    running: Option<String>,
    latest: Option<TrainingStatus>,
    closing: bool,
    /// How many holders want no automatic training.
    holds: usize,
    /// Where the log ended when it was last looked at.
    seen: Offset,
}

/// While it lives, no training begins of itself.
#[derive(Debug)]
pub struct Hold<'t>(&'t Desk);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.orders.lock().holds -= 1;
    }
}

impl Trainer {
    pub(super) fn start(
        state: Arc<State>,
        committer: Arc<Committer>,
        options: &EngineOptions,
        pool: Arc<rayon::ThreadPool>,
    ) -> Result<Self> {
        let desk = Arc::new(Desk {
            orders: Mutex::default(),
            changed: Condvar::new(),
            cancel: AtomicBool::new(false),
            watchers: Mutex::new(Some(broadcast::Sender::new(WATCH_BUFFER))),
        });
        let failed =
            |e: &dyn std::fmt::Display| Error::Training(format!("the trainer does not start: {e}"));
        let worker = Worker {
            state,
            committer,
            desk: desk.clone(),
            options: options.train.clone(),
            repeat: options.recommend.repeat_policy,
            keep_pushed_days: options.push.keep_days,
            pool,
            opened: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("trainer".into())
            .spawn(move || worker.run())
            .map_err(|e| failed(&e))?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Asks for a training: the id of the one that runs or waits, and false; or
    /// of a new one, and true.
    pub fn request(&self) -> (String, bool) {
        self.order(false)
    }

    fn order(&self, quick: bool) -> (String, bool) {
        let mut orders = self.desk.orders.lock();
        if let Some(id) = orders.pending() {
            return (id, false);
        }
        let order = Order { id: new_id(), quick };
        let id = order.id.clone();
        orders.requested = Some(order);
        self.desk.changed.notify_all();
        (id, true)
    }

    /// Stops a running training, begins no other, and ends every watch.
    pub(super) fn close(&self) {
        self.desk.cancel.store(true, Ordering::Relaxed);
        self.desk.orders.lock().closing = true;
        self.desk.changed.notify_all();
        *self.desk.watchers.lock() = None;
    }

    /// Keeps automatic trainings from beginning, for as long as a bulk write goes on.
    pub fn hold(&self) -> Hold<'_> {
        self.desk.orders.lock().holds += 1;
        Hold(&self.desk)
    }

    /// The latest training's status, if there was one, the id of one that runs
    /// or waits to begin, and all changes to come.
    pub fn watch(
        &self,
    ) -> (Option<TrainingStatus>, Option<String>, broadcast::Receiver<TrainingStatus>) {
        let orders = self.desk.orders.lock();
        (orders.latest.clone(), orders.pending(), self.desk.subscribe())
    }

    /// Trains and waits for the outcome; `quick`: without tuning. A training that
    /// runs or waits already is the one waited for.
    ///
    /// # Errors
    /// [`Error::Training`] with the reason of a failure.
    pub fn train_blocking(&self, quick: bool) -> Result<Generation> {
        let mut changes = self.desk.subscribe();
        let (id, _) = self.order(quick);
        loop {
            match changes.blocking_recv() {
                Ok(status) if status.id == id => match status.state {
                    TrainingState::Running(_) => {}
                    TrainingState::Succeeded(generation) => return Ok(generation),
                    TrainingState::Failed(why) => return Err(Error::Training(why)),
                },
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => {
                    return Err(Error::Training("the store is shutting down".to_owned()));
                }
            }
        }
    }
}

impl Orders {
    /// The training that runs or waits to begin. One that has just begun may not
    /// have reported its first stage yet.
    fn pending(&self) -> Option<String> {
        self.running.clone().or_else(|| self.requested.as_ref().map(|order| order.id.clone()))
    }
}

impl Desk {
    fn subscribe(&self) -> broadcast::Receiver<TrainingStatus> {
        match &*self.watchers.lock() {
            Some(watchers) => watchers.subscribe(),
            // A receiver whose sender is gone: it says so at once.
            None => broadcast::Sender::new(1).subscribe(),
        }
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        self.close();
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + PATIENCE;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        if !thread.is_finished() {
            // Whatever it is at, what is on disk is whole, and all that is acknowledged is there.
            tracing::warn!("a training that does not hear is left to end with the process");
        } else if thread.join().is_err() {
            tracing::error!("the trainer's thread panicked");
        }
    }
}

fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The training before.
#[derive(Debug, Clone, Copy)]
struct Last {
    end: Instant,
    took: Duration,
}

pub(super) struct Worker {
    pub(super) state: Arc<State>,
    pub(super) committer: Arc<Committer>,
    desk: Arc<Desk>,
    pub(super) options: TrainOptions,
    /// What the store's lists offer unless a request says otherwise.
    pub(super) repeat: RepeatPolicy,
    /// Days for which what was pushed is carried on.
    pub(super) keep_pushed_days: u32,
    pub(super) pool: Arc<rayon::ThreadPool>,
    opened: Instant,
}

impl Worker {
    /// Whether a training is asked for.
    pub(super) fn is_wanted(&self) -> bool {
        self.desk.orders.lock().requested.is_some()
    }

    /// What says that the store closes.
    pub(super) fn cancel(&self) -> &AtomicBool {
        &self.desk.cancel
    }

    fn run(self) {
        // What the last attempt saw, whether it failed or not: a log that did
        // not grow is not tried again.
        let mut tried = self.state.models.active().map(|s| s.manifest.offset);
        let mut last = Last { end: self.opened, took: Duration::ZERO };
        if self.options.automatic {
            self.make_missing_lists();
        }
        while let Some(Order { id, quick }) = self.next_order(tried, last) {
            let started = Instant::now();
            let offset = self.state.live.offset();
            tracing::info!(training = id, offset, "training begins");
            let before = self.state.models.active();
            let timeline = Timeline::new(started, before.as_deref(), offset, quick);
            let told = |state| TrainingStatus {
                id: id.clone(),
                expected: timeline.expected(&state),
                state,
                elapsed: started.elapsed(),
                at: Instant::now(),
                quality: Default::default(),
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let report = |stage: Stage| {
                    timeline.begin(stage);
                    self.report(told(TrainingState::Running(stage)));
                };
                let control = Control::new(&report, &self.desk.cancel);
                self.pool.install(|| self.train(&control, &timeline, offset, quick))
            }));
            let outcome =
                outcome.unwrap_or_else(|panic| Err(Error::Training(panic_words(&*panic))));
            let (state, quality) = match outcome {
                Ok(manifest) => (TrainingState::Succeeded(manifest.generation), manifest.quality),
                Err(error) => (TrainingState::Failed(error.to_string()), BTreeMap::new()),
            };
            let quality =
                [quality, before.map_or_else(BTreeMap::new, |b| b.manifest.quality.clone())];
            let mut orders = self.desk.orders.lock();
            orders.running = None;
            if quick && self.options.tune && self.options.automatic && orders.requested.is_none() {
                orders.requested = Some(Order { id: new_id(), quick: false });
            }
            drop(orders);
            self.report(TrainingStatus { quality, ..told(state) });
            tried = Some(offset);
            last = Last { end: Instant::now(), took: started.elapsed() };
            self.make_missing_lists();
        }
    }

    /// Waits for the next training to do; none once the store closes.
    fn next_order(&self, tried: Option<Offset>, last: Last) -> Option<Order> {
        let mut orders = self.desk.orders.lock();
        loop {
            if orders.closing {
                return None;
            }
            let offset = self.state.live.offset();
            let quiet = std::mem::replace(&mut orders.seen, offset) == offset;
            let due = orders.holds == 0 && self.is_due(offset, quiet, tried, last);
            let quick = self.state.models.generation() == 0;
            let due = || due.then(|| Order { id: new_id(), quick });
            if let Some(order) = orders.requested.take().or_else(due) {
                orders.running = Some(order.id.clone());
                return Some(order);
            }
            self.desk.changed.wait_for(&mut orders, LOOK_EVERY);
        }
    }

    /// Whether a training should begin of itself. For users who were erased at once, but not
    /// for more than half of the time, and again after a while where it failed. Until the
    /// first regular one, a young store trains whenever its log has doubled, once it falls
    /// quiet.
    fn is_due(&self, offset: Offset, quiet: bool, tried: Option<Offset>, last: Last) -> bool {
        let before = tried.unwrap_or(0);
        let grown = offset.saturating_sub(before);
        let since = last.end.elapsed();
        if (grown > 0 && since >= last.took || since >= RETRY) && erasure::is_owed(&self.state) {
            return true;
        }
        if !self.options.automatic || grown == 0 || self.state.live.events() == 0 {
            return false;
        }
        let every = Duration::from_secs(self.options.every_minutes * 60);
        let scheduled = !every.is_zero() && since >= every;
        let enough = self.options.new_events > 0 && grown >= self.options.new_events;
        let young = quiet && grown >= before;
        scheduled || enough || young
    }

    fn report(&self, status: TrainingStatus) {
        let seconds = status.elapsed.as_secs_f64();
        match &status.state {
            TrainingState::Running(stage) => {
                tracing::info!(training = status.id, stage = stage.name(), seconds, "training");
            }
            TrainingState::Succeeded(generation) => {
                tracing::info!(training = status.id, generation, seconds, "model published");
            }
            TrainingState::Failed(why) => {
                tracing::warn!(
                    training = status.id,
                    why,
                    seconds,
                    "training failed; the model before goes on serving"
                );
            }
        }
        self.desk.orders.lock().latest = Some(status.clone());
        if let Some(watchers) = &*self.desk.watchers.lock() {
            // Nobody need be watching.
            let _ = watchers.send(status);
        }
    }
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a bug: the trainer panicked: {}", words.unwrap_or("without words"))
}
