//! The engine: one store's log, live state, models and background trainer. The api and the
//! command line call it; it knows nothing of either.
//!
//! Wings, each with fields of its own, over what they share:
//!
//! - [`serve`]: a request becomes an answer
//! - `write`: writes become durable, then visible
//! - [`trainer`]: the log becomes a model
//! - `push`: a model trained elsewhere becomes part of one
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
//! - `directory`: items and users by their ids
//! - `behaviour`: what a training reads from the log
//! - [`options`]: the engine's part of the configuration
//! - [`pseudonyms`]: the names of users in the store
//! - [`figures`]: what is seen of the store at one moment
//! - `periodic`: a thread that does something again and again
//! - [`page`]: pages of listings; `closing`: how the store ends; `threads`: those that the stores
//!   of a process share

mod active_lists;
mod behaviour;
mod closing;
mod directory;
mod exposure_queue;
pub mod figures;
mod guard;
pub mod import;
mod in_force;
pub mod insight;
mod list_maker;
mod measure;
pub mod options;
pub mod page;
mod periodic;
mod pinned;
mod population;
pub mod pseudonyms;
mod push;
mod refresher;
mod registry;
pub mod serve;
mod state;
pub mod stats;
pub mod steering;
mod threads;
pub mod trainer;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub use directory::Directory;
pub use import::Importer;
pub use options::{
    CatalogOptions, DEFAULT_STORE, DoctorPolicy, EngineOptions, ExperimentOptions, InsightOptions,
    LimitOptions, LogOptions, ModelOptions, PrivacyOptions, PushOptions, RecommendOptions,
    StoreLimits, TrainOptions,
};
pub use page::Page;
pub use push::{Incoming, PushRequest, Pushes};
pub use registry::{Models, ServingModel};
pub use serve::{Answer, Batches, Comparison, RecommendRequest, Recommender};
pub use threads::Threads;
pub use trainer::{Trainer, TrainingState, TrainingStatus};
pub use write::{Pending, Receipt, Write, Writer};

use crate::content::Reader;
use crate::domain::{Error, Generation, Result};
use crate::experiment::Measurements;
use crate::live::{DedupWindow, Live, LiveWriter};
use crate::recommend::prepared::PreparedListOptions;
use crate::store::{self, Entry, Log, Opening, Record, StoreFolder};
use active_lists::ActiveLists;
use figures::StoreFigures;
use insight::Insight;
use list_maker::ListMaker;
use measure::Unmeasured;
use periodic::Periodic;
use population::Populations;
use pseudonyms::Pseudonyms;
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
    _guard: Periodic,
    insight: Arc<Insight>,
    steering: Arc<Steering>,
    _refresher: Periodic,
    _maker: ListMaker,
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
        let mut folder = StoreFolder::open(data, &options.store)?;
        let pseudonyms = Pseudonyms::new(options.privacy.pseudonym_key.reveal(), &options.store);
        folder.hold_to_key(pseudonyms.fingerprint().as_deref(), options.log.accept_loss)?;

        let recommend = &options.recommend;
        let reader = Reader::open(&options.catalog.text_model)?;
        let (live, mut live_writer) = empty_live(&options, reader)?;
        let started = Instant::now();
        let unmeasured = Unmeasured::new(&options.experiments)?;
        let mut measurements = Measurements::new(options.experiments.attribution());
        let (writer, measured) = (&mut live_writer, &mut measurements);
        let mut applying = Applying { live: &live, writer, measured, unmeasured: &unmeasured };
        let (log, dedup, models) = read_files(&mut folder, &mut applying, &options)?;
        live.index(&mut live_writer);
        let until = live.offset();
        live.remake_parted(&mut live_writer, |visit| store::replay(&folder.log(), until, visit))?;
        folder.mark_format()?;

        let lists = PreparedListOptions {
            repeat: recommend.repeat_policy,
            history_limit: live.histories.limit(),
            max_users: options.train.prepared_lists,
        };
        report_open(&options.store, &live, &models, started);

        let limits = (StoreLimits::of(&options.limits), options.train.clone());
        let stats = Stats::new(log.flush_seconds());
        let populations = Populations::new(options.insight.refresh_minutes);
        let state = Arc::new(State::new(
            (live, measurements, unmeasured),
            models,
            folder,
            pseudonyms,
            (lists, ActiveLists::new(recommend.active_lists)),
            limits,
            (stats, populations),
        ));
        trainer::erasure::remove_models(&state);
        let budget = MemoryBudget::new(options.limits.memory_mib);
        let writer = Writer::start(log, dedup, state.clone(), live_writer, budget)?;
        let trainer = Trainer::start(state.clone(), writer.clone(), &options, threads)?;

        let (background, policy) = (threads.background.clone(), recommend.repeat_policy);
        let pushes =
            Pushes::new(state.clone(), writer.clone(), background.clone(), options.push, policy);
        state.in_force.refresh(&state.live)?;
        let refresher = refresher::start(state.clone())?;
        let maker = ListMaker::start(state.clone())?;
        let steering = Arc::new(Steering::new(state.clone(), writer.clone()));
        let margin = options.experiments.canary_guardrail;
        let guard = guard::start(state.clone(), steering.clone(), margin)?;
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
            _guard: guard,
            insight,
            steering,
            _refresher: refresher,
            _maker: maker,
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

/// Live state before the replay.
fn empty_live(options: &EngineOptions, reader: Reader) -> Result<(Live, LiveWriter)> {
    let recommend = &options.recommend;
    let (history_limit, cohorts) = (recommend.history_limit, recommend.cohorts.clone());
    let (live, mut writer) = Live::new(history_limit, cohorts, reader);
    if recommend.fatigue_after > 0 {
        live.impressions.write(&mut writer).count();
    }
    // The configuration's check refuses other zones before.
    let zone = options.insight.zone().map_err(|what| Error::Storage(what.into()))?;
    live.activity.write(&mut writer).set_zone(zone);
    Ok((live, writer))
}

/// What the replay of a log fills.
struct Applying<'a> {
    live: &'a Live,
    writer: &'a mut LiveWriter,
    measured: &'a mut Measurements,
    unmeasured: &'a Unmeasured,
}

/// Replays the log and loads the models, both at once; one after the other where models that the
/// log does not reach may be set aside.
fn read_files(
    folder: &mut StoreFolder,
    applying: &mut Applying<'_>,
    options: &EngineOptions,
) -> Result<(Log, DedupWindow, Models)> {
    let snapshots = folder.snapshots();
    let load = || Models::open(snapshots, options.models.clone());
    if options.log.accept_loss {
        let (log, dedup) = replay_log(folder, applying, &options.log)?;
        return Ok((log, dedup, load()?));
    }

    std::thread::scope(|scope| {
        let loader = std::thread::Builder::new().name("models".to_owned());
        let models = loader.spawn_scoped(scope, load).map_err(|e| {
            Error::Storage(format!("the models' thread does not start: {e}").into())
        })?;
        let read = replay_log(folder, applying, &options.log);
        let models = models.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (log, dedup) = read?;
        Ok((log, dedup, models?))
    })
}

/// Opens the log, with every entry of it applied to live state; returns it with the window of
/// known event ids.
fn replay_log(
    folder: &mut StoreFolder,
    applying: &mut Applying<'_>,
    options: &LogOptions,
) -> Result<(Log, DedupWindow)> {
    let trained_to = Models::newest_offset(&folder.snapshots())?;
    let mut dedup = DedupWindow::default();
    let mut apply = |entry: Entry<'_>| {
        dedup.replay(&entry);
        let Applying { live, writer, measured, unmeasured } = applying;
        if let Entry::Record(_, record) = &entry {
            measure::note(measured, live, unmeasured, record);
        }
        live.replay(writer, &entry);
        if let Entry::Record(offset, Record::Event(event)) = &entry
            && trained_to.is_some_and(|trained_to| *offset >= trained_to)
        {
            live.note_pairs(writer, *offset, event);
        }
    };

    let opening = Opening {
        durability: options.durability,
        segment_bytes: options.segment_mib << 20,
        proven: folder.is_proven(),
        accept_loss: options.accept_loss,
    };

    let mut log = Log::open(&folder.log(), opening, &mut apply)?;
    folder.lock_witness()?.into_iter().for_each(|witness| log.watch(witness));
    Models::check_within(&folder.snapshots(), log.next_offset(), options.accept_loss)?;
    Ok((log, dedup))
}

/// Logs what was opened, and a clock that was ahead.
fn report_open(store: &str, live: &Live, models: &Models, started: Instant) {
    tracing::info!(
        store,
        events = live.events(),
        users = live.users.read().len(),
        items = live.items.read().len(),
        generation = models.generation(),
        seconds = started.elapsed().as_secs_f64(),
        "store open"
    );
    state::warn_if_ahead(live);
}
