//! The trainer's handle.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use super::erasure::{self, CopyRewriter};
use super::publish::Publisher;
use super::queue::JobQueue;
use super::run::Runner;
use super::status::{TrainingState, TrainingStatus};
use super::worker::{INTERVAL, Worker};
use crate::domain::progress::Control;
use crate::domain::{Error, Generation, Result};
use crate::engine::options::EngineOptions;
use crate::engine::periodic::Periodic;
use crate::engine::state::State;
use crate::engine::threads::Threads;
use crate::engine::write::Writer;
use crate::model::copied::IncomingModel;

/// Time that a cancelled training may take to stop: some steps poll seldom.
const PATIENCE: Duration = Duration::from_secs(5);

/// Handle of the trainer's thread. Dropping it cancels a running training and joins the
/// thread; a training that does not stop in time ends with the process.
#[derive(Debug)]
pub struct Trainer {
    queue: Arc<JobQueue>,
    publisher: Publisher,
    thread: Option<JoinHandle<()>>,
    _rewriter: Option<Periodic>,
}

/// While it lives, the trainer starts nothing by itself.
#[derive(Debug)]
pub struct Hold<'t>(&'t JobQueue);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Trainer {
    pub(in crate::engine) fn start(
        state: Arc<State>,
        writer: Writer,
        options: &EngineOptions,
        threads: &Threads,
    ) -> Result<Self> {
        let queue = Arc::new(JobQueue::default());
        let keep_pushed_days = options.push.keep_days;
        let publisher =
            Publisher { state: state.clone(), writer: writer.clone(), keep_pushed_days };
        let is_trained_elsewhere = state.lease.is_follower() || state.seats.training.is_some();
        let start_rewriter = || start_rewriter(state.clone(), writer.clone(), queue.clone());
        let rewriter = is_trained_elsewhere.then(start_rewriter).transpose()?;
        let repeat = options.recommend.repeat_policy;
        let runner = Runner { state, writer, publisher: publisher.clone(), repeat };

        let worker = Worker::new(runner, queue.clone(), threads.clone());
        let thread = std::thread::Builder::new()
            .name("trainer".into())
            .spawn(move || worker.run())
            .map_err(|e| Error::Training(format!("the trainer does not start: {e}").into()))?;
        Ok(Self { queue, publisher, thread: Some(thread), _rewriter: rewriter })
    }

    /// Publishes a model that another server has trained on a part of this log. With `after`, the generation
    /// that must still be active. Call it from a thread that may wait for the disk.
    ///
    /// # Errors
    /// [`Error::NotReady`] where the log does not reach what it was trained on; [`Error::Training`] where
    /// another model was activated meanwhile; [`Error::Storage`] where its bytes are not what was sent, or the
    /// disk fails.
    pub fn adopt(&self, model: IncomingModel, after: Option<Generation>) -> Result<Generation> {
        let manifest = self.publisher.adopt(model, after)?;
        let generation = manifest.generation;
        tracing::info!(generation, offset = manifest.offset, "model of another trainer published");
        erasure::remove_models(&self.publisher.state);
        Ok(generation)
    }

    /// Requests a training: the id of the one that runs or waits, and false; or of a new one,
    /// and true.
    pub fn request(&self) -> (String, bool) {
        self.queue.request(false)
    }

    /// Cancels a running training, starts no other, and ends every watch.
    pub(in crate::engine) fn close(&self) {
        self.queue.close();
    }

    /// Keeps automatic trainings from starting while a bulk write runs.
    pub fn hold(&self) -> Hold<'_> {
        self.queue.hold();
        Hold(&self.queue)
    }

    /// The latest training's status, if there was one; the id of one that runs or waits to
    /// begin; and all changes to come.
    pub fn watch(
        &self,
    ) -> (Option<TrainingStatus>, Option<String>, broadcast::Receiver<TrainingStatus>) {
        self.queue.watch()
    }

    /// The number of trainings that run or wait; taking erased users out of a model counts as one.
    pub fn pending(&self) -> usize {
        self.queue.pending()
    }

    /// Trains and waits for the outcome; `quick` skips tuning. Joins a training that runs or
    /// waits already.
    ///
    /// # Errors
    /// [`Error::Training`] with the reason of a failure, [`Error::ShuttingDown`] where the
    /// store closes.
    pub fn train_blocking(&self, quick: bool) -> Result<Generation> {
        let mut changes = self.queue.subscribe();
        let (id, _) = self.queue.request(quick);
        loop {
            match changes.blocking_recv() {
                Ok(status) if status.id == id => match status.state {
                    TrainingState::Running(_) => {}
                    TrainingState::Succeeded(generation) => return Ok(generation),
                    TrainingState::Failed(why) => return Err(Error::Training(why.into())),
                },
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Err(Error::ShuttingDown),
            }
        }
    }
}

/// Starts a thread that rewrites the log's files without erased users while another server trains.
fn start_rewriter(state: Arc<State>, writer: Writer, queue: Arc<JobQueue>) -> Result<Periodic> {
    let mut rewriter = CopyRewriter::default();
    Periodic::start("rewriter", (INTERVAL, 0), move || {
        let trains = !state.lease.is_follower() && state.seats.may_train();
        if !trains {
            let control = Control::new(&|_| {}, queue.cancel());
            rewriter.look(&state, &writer, &control);
        }
    })
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
            // Files are whole at every moment, and every acknowledged write is among them.
            tracing::warn!("a training does not stop; it ends with the process");
        } else if thread.join().is_err() {
            tracing::error!("the trainer's thread panicked");
        }
    }
}
