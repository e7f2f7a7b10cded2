//! The engine: one store's log, live state, models and background trainer. The api and the
//! command line call it; it knows nothing of either.
//!
//! Wings, each with fields of its own, over what they share:
//!
//! - [`serve`]: a request becomes an answer
//! - `write`: writes become durable, then visible
//! - [`trainer`]: the log becomes a model
//! - `push`: a model trained elsewhere becomes part of one
//! - [`replication`]: one store on several servers
//! - [`steering`]: rules, placements and experiments, in versions, and what they would change
//! - [`insight`]: what the store knows of its users
//! - [`import`]: files become writes; stands above the trainer, which waits meanwhile
//!
//! Below them:
//!
//! - `registry`: which snapshot answers whom, and which are kept on disk
//! - `state`: what the threads share; [`stats`]: what they count for the operator
//! - `in_force`: the decisions in force; `refresher` keeps them so; `pinned`: models that placements name
//! - `exposure_queue`: answers that wait to be recorded
//! - `measure`: folds records into what is measured of lists; `guard` stops what harms
//! - `active_lists`: lists of active users, made after each of their events; `list_maker`: the thread
//!   that makes them
//! - `opening`: reads a store from its folder; `checkpoint`: what it need not
//!   replay of the log, and `folding` when that is saved; `log_check` reads the rest
//! - `directory`: items and users by their ids
//! - `position`: where a log stands; `desk`: where models are handed over to the server that writes
//! - `behaviour`: what a training reads from the log
//! - [`options`]: the engine's part of the configuration
//! - [`pseudonyms`]: the names of users in the store
//! - `lease`: until when a store that follows another answers users; `followers`: those that follow it
//! - [`seats`]: what a server may do that shares an object store with others
//! - `intake`: the topics that are taken in
//! - [`figures`]: what is seen of the store at one moment
//! - `periodic`: a thread that does something again and again
//! - [`page`]: pages of listings; `closing`: how the store ends; `threads`: those that the stores
//!   of a process share

mod active_lists;
mod behaviour;
mod checkpoint;
mod closing;
mod desk;
mod directory;
mod exposure_queue;
pub mod figures;
mod folding;
mod followers;
mod guard;
pub mod import;
mod in_force;
pub mod insight;
mod intake;
mod lease;
mod list_maker;
mod log_check;
mod measure;
mod opening;
pub mod options;
pub mod page;
mod periodic;
mod pinned;
mod population;
mod position;
pub mod pseudonyms;
mod push;
mod refresher;
mod registry;
pub mod replication;
pub mod seats;
pub mod serve;
mod state;
pub mod stats;
pub mod steering;
mod threads;
pub mod trainer;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use desk::HandedModel;
pub use directory::Directory;
pub use import::Importer;
pub use intake::Intake;
pub use options::{
    CatalogOptions, DEFAULT_STORE, DoctorPolicy, EngineOptions, ExperimentOptions, InsightOptions,
    LimitOptions, LogOptions, ModelOptions, PrivacyOptions, PushOptions, RecommendOptions,
    StoreLimits, TrainOptions,
};
pub use page::Page;
pub use push::{Incoming, PushRequest, Pushes};
pub use registry::{Models, ServingModel};
pub use replication::{Follower, Source};
pub use seats::Seats;
pub use serve::{Answer, Batches, Comparison, RecommendRequest, Recommender};
pub use threads::{Threads, wait_for};
pub use trainer::{Trainer, TrainingState, TrainingStatus};
pub use write::{Pending, Receipt, TakenIn, Write, Writer};

use tokio::sync::mpsc;

use crate::domain::{Error, Generation, Offset, Result};
use crate::live::Live;
use crate::model::copied::IncomingModel;
use crate::store::Entry;
use figures::StoreFigures;
use insight::Insight;
use list_maker::ListMaker;
use log_check::LogCheck;
use opening::Opened;
use periodic::Periodic;
use state::State;
use stats::Stats;
use steering::Steering;
use write::MemoryBudget;

/// An open store. Dropping it stops a training, drains the writes and releases the folder.
#[derive(Debug)]
pub struct Engine {
    // Dropped in this order: no training outlives the state it reads.
    trainer: Trainer,
    writer: Writer,
    pushes: Pushes,
    batches: Batches,
    recommender: Arc<Recommender>,
    follower: Option<Arc<Follower>>,
    _guard: Option<Periodic>,
    insight: Arc<Insight>,
    steering: Arc<Steering>,
    _refresher: Periodic,
    _maker: ListMaker,
    _check: Option<LogCheck>,
    state: Arc<State>,
}

impl Engine {
    /// Opens a store of the folder `data`, the one that the options name, with threads of its own.
    ///
    /// # Errors
    /// As [`Engine::open_beside`].
    pub fn open(data: &Path, options: EngineOptions) -> Result<Self> {
        let threads = Threads::start(options.train.threads)?;
        Self::open_beside(data, options, &threads)
    }

    /// Opens a store beside others that share `threads`: replays the log into live state and loads
    /// the newest whole snapshot. Trains at once where there are events but no snapshot, if
    /// automatic training is on.
    ///
    /// # Errors
    /// [`crate::domain::Error::Storage`] where the folder is in use, damaged, or written by a
    /// newer version.
    pub fn open_beside(data: &Path, options: EngineOptions, threads: &Threads) -> Result<Self> {
        let Opened { state, log, dedup, live_writer, replayed_from } =
            opening::open(data, &options)?;
        trainer::erasure::remove_models(&state);
        let budget = MemoryBudget::new(options.limits.memory_mib);
        let writer = Writer::start(log, dedup, state.clone(), live_writer, budget)?;
        let trainer = Trainer::start(state.clone(), writer.clone(), &options, threads)?;

        let recommend = &options.recommend;
        let (background, policy) = (threads.background.clone(), recommend.repeat_policy);
        let pushes =
            Pushes::new(state.clone(), writer.clone(), background.clone(), options.push, policy);
        state.in_force.refresh(&state.live)?;
        let refresher = refresher::start(state.clone())?;
        let maker = ListMaker::start(state.clone())?;
        let steering = Arc::new(Steering::new(state.clone(), writer.clone()));
        let check = (replayed_from > 0).then(|| LogCheck::start(state.clone(), replayed_from));
        let margin = options.experiments.canary_guardrail;
        let is_follower = state.lease.is_follower();
        let start_guard = || guard::start(state.clone(), steering.clone(), margin);
        let guard = (!is_follower).then(start_guard).transpose()?;
        let follower = is_follower.then(|| Arc::new(Follower::new(state.clone(), writer.clone())));
        let insight = Arc::new(Insight::start(state.clone())?);
        let recommender = Recommender::new(state.clone(), writer.clone(), recommend, threads)?;
        let recommender = Arc::new(recommender);
        let batches = Batches::new(recommender.clone(), background);
        Ok(Self {
            trainer,
            writer,
            pushes,
            batches,
            recommender,
            follower,
            _guard: guard,
            insight,
            steering,
            _refresher: refresher,
            _maker: maker,
            _check: check,
            state,
        })
    }

    /// Begins to close: stops trainings and imports, and ends every watch. Lists and writes
    /// are served until the engine is dropped.
    pub fn close(&self) {
        self.state.closing.begin();
        self.trainer.close();
    }

    /// Sets limits of this store, in force from its next write on.
    pub fn set_limits(&self, limits: StoreLimits) {
        self.state.limits.store(Arc::new(limits));
    }

    /// Puts settings of trainings in force, from the next one on; the number of threads and of
    /// prepared lists stay as they were when the store was opened.
    pub fn set_train_options(&self, options: TrainOptions) {
        self.state.train.store(Arc::new(options));
    }

    /// The memory of the store's data and models in bytes, as estimated from their numbers.
    pub fn memory_bytes(&self) -> u64 {
        self.state.memory_bytes()
    }

    /// Whether the store closes: whoever uses it lets go of it.
    pub fn is_closing(&self) -> bool {
        self.state.closing.has_begun()
    }

    /// The outcome of `work`, or none once the store closes.
    pub async fn unless_closing<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.state.closing.unless_begun(work).await
    }

    /// Answers requests for lists.
    pub fn recommender(&self) -> &Arc<Recommender> {
        &self.recommender
    }

    /// Answers requests for the lists of many users.
    pub fn batches(&self) -> &Batches {
        &self.batches
    }

    /// Decides what lists show: rules and placements.
    pub fn steering(&self) -> &Steering {
        &self.steering
    }

    /// Answers what the store knows of its users.
    pub fn insight(&self) -> &Arc<Insight> {
        &self.insight
    }

    /// Takes writes.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The topics that the store takes in.
    pub fn intake(&self) -> &Intake {
        &self.state.intake
    }

    /// What followers of the store ask for.
    pub fn source(&self) -> Source {
        Source::new(self.state.clone(), self.writer.clone())
    }

    /// Takes in what is followed; none in a store that follows no other.
    pub fn follower(&self) -> Option<&Arc<Follower>> {
        self.follower.as_ref()
    }

    /// Begins to take in a model's files, which are not kept yet. Call it from a thread that may wait for the
    /// disk.
    ///
    /// # Errors
    /// [`crate::domain::Error::Storage`] for a manifest that cannot be read, or where the disk fails.
    pub fn receive_model(&self, manifest: &[u8]) -> Result<IncomingModel> {
        IncomingModel::begin(&self.state.folder.snapshots(), manifest)
            .map_err(|error| Error::Storage(error.into()))
    }

    /// The models that the trainer hands over to the server that writes, for the one who takes them there.
    pub fn handed_models(&self) -> Option<mpsc::Receiver<HandedModel>> {
        self.state.desk.take()
    }

    /// Waits until everything before `offset` is visible, or `patience` ends; returns whether it is.
    pub async fn has_reached(&self, offset: Offset, patience: Duration) -> bool {
        self.state.has_reached(offset, patience).await
    }

    /// Trains: starts a training, reports its status now and every change to come.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Takes in models that were trained elsewhere.
    pub fn pushes(&self) -> &Pushes {
        &self.pushes
    }

    /// Takes in files.
    pub fn importer(&self) -> Importer<'_> {
        Importer::new(&self.state, &self.writer, &self.trainer)
    }

    /// Items and users by their ids.
    pub fn directory(&self) -> Directory<'_> {
        Directory::new(&self.state)
    }

    /// What is counted since the store was opened.
    pub fn stats(&self) -> &Stats {
        &self.state.stats
    }

    /// What is seen of the store now. It reads the sizes of the log's files: call it from a thread
    /// that may wait for the disk.
    pub fn figures(&self) -> StoreFigures {
        StoreFigures::of(&self.state, &self.writer, &self.trainer)
    }

    /// The models: which one answers now, which are kept.
    pub fn models(&self) -> &Models {
        &self.state.models
    }

    /// Live state, for reading.
    pub fn live(&self) -> &Live {
        &self.state.live
    }

    /// The generation that answers now; 0 before the first.
    pub fn generation(&self) -> Generation {
        self.state.models.generation()
    }

    /// Passes every entry of the log as of now to `visit`.
    ///
    /// # Errors
    /// [`crate::domain::Error::Storage`] where bytes are not what was written.
    pub fn replay(&self, visit: &mut dyn FnMut(Entry<'_>)) -> Result<()> {
        self.state.replay(visit)
    }
}
