//! The engine: one store's log, live state, models and background trainer
//! behind one façade. What the api and the cli call; knows nothing of either.
//!
//! - [`options`]: its part of the configuration
//! - [`committer`]: the one thread that writes what is [`staged`] (items by their [`edits`]): log, then live state, then ack; [`lag`]: how
//!   long that takes; [`budget`]: in how much memory
//! - [`trainer`]: the one thread that trains, and when; [`training`]: what it does then;
//!   [`timeline`]: how long that takes; [`lists`]: for models that came without
//! - [`erasure`]: what a training does first: rewrites the log without erased users
//! - [`users`], [`pseudonyms`]: users as data, and their names in the store
//! - [`import`]: files of rows, written in chunks that are known again
//! - [`push`]: takes in models that were trained elsewhere; [`uploads`]: while they come;
//!   [`gate`]: what they must be, [`arrays`]: as they are read; [`beside`]: with what the
//!   server trained
//! - [`shadow`]: a model that is compared and not shown; [`comparison`]: how lists differ
//! - [`query`]: the read side: ids to idx, one snapshot, `recommend`, idx to ids
//! - [`models`]: which snapshot answers now ([`published`]), and which are kept
//! - [`page`]: how long a page of a listing is

mod arrays;
mod background;
pub mod batch;
mod beside;
mod budget;
pub mod committer;
mod comparison;
mod edits;
mod erasure;
mod gate;
pub mod import;
mod lag;
mod lists;
pub mod models;
pub mod options;
pub mod page;
pub mod pseudonyms;
mod published;
mod push;
pub mod query;
mod shadow;
mod staged;
mod timeline;
pub mod trainer;
mod training;
mod uploads;
mod users;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

pub use committer::{Pending, Receipt, Write};
pub use comparison::Comparison;
pub use models::Models;
pub use options::{
    LimitOptions, LogOptions, ModelOptions, PrivacyOptions, PushOptions, RecommendOptions,
    TrainOptions,
};
pub use page::Page;
pub use push::PushRequest;
pub use query::{Answer, RecommendRequest};

pub use trainer::{TrainingState, TrainingStatus};
pub use uploads::Incoming;

use crate::domain::progress::Control;
use crate::domain::{Event, Generation, Item, ItemChange, ItemIdx, Result};
use crate::live::{Known, Live};
use crate::model::{Manifest, Role};
use crate::recommend::Scratch;
use crate::recommend::prepared::Wanted;
use crate::store::{Entry, Log, Opening, Record, StoreFolder, replay};
use committer::Committer;
use options::EngineOptions;
use pseudonyms::Pseudonyms;
use shadow::Shadow;
use trainer::Trainer;
use uploads::Uploads;

/// The store that a data folder holds until it can hold several.
pub const STORE: &str = "default";

/// An open store. Dropping it drains the writes, stops a training and lets go
/// of the folder.
#[derive(Debug)]
pub struct Engine {
    // Dropped in this order: no training outlives the state it reads.
    trainer: Trainer,
    committer: Arc<Committer>,
    pseudonyms: Pseudonyms,
    state: Arc<State>,
    options: EngineOptions,
    scratch: Mutex<Vec<Scratch>>,
    background: Arc<rayon::ThreadPool>,
    uploads: Arc<Uploads>,
    /// Held while a pushed model is checked.
    checking: Mutex<()>,
    shadow: Shadow,
    /// Places of batches under way.
    batches: Arc<Semaphore>,
    closing: watch::Sender<bool>,
    /// The same for work that looks up between its steps.
    stopping: AtomicBool,
}

/// What the engine's threads share.
#[derive(Debug)]
pub(crate) struct State {
    live: Live,
    models: Models,
    folder: StoreFolder,
    /// Which lists are made ahead.
    lists: Wanted,
    /// How large the store may become.
    limits: LimitOptions,
    /// Held while a snapshot is put together from what answers and what is new, until it is
    /// published.
    assembling: Mutex<()>,
}

impl Engine {
    /// Opens the store in `data`: replays the log into live state and loads
    /// the newest whole snapshot. Trains at once where there are events but no
    /// snapshot, if automatic training is on.
    ///
    /// # Errors
    /// [`crate::domain::Error::Storage`] where the folder is in use, damaged,
    /// or from a newer version.
    pub fn open(data: &Path, options: EngineOptions) -> Result<Self> {
        let mut folder = StoreFolder::open(data, STORE)?;
        let pseudonyms = Pseudonyms::new(options.privacy.pseudonym_key.reveal());
        folder.hold_to_key(pseudonyms.fingerprint().as_deref(), options.log.accept_loss)?;
        let recommend = &options.recommend;
        let live = Live::new(recommend.history_limit, recommend.cohorts.clone());
        let trained_to = Models::newest_offset(&folder.snapshots())?;
        let mut known = Known::default();
        let started = std::time::Instant::now();
        let log_options = &options.log;
        let mut take_in = |entry: Entry<'_>| {
            known.replay(&entry);
            live.replay(&entry);
            if let Entry::Record(offset, Record::Event(event)) = &entry
                && trained_to.is_some_and(|trained_to| *offset >= trained_to)
            {
                live.note_pairs(*offset, event);
            }
        };
        let opening = Opening {
            durability: log_options.durability,
            segment_bytes: log_options.segment_mib << 20,
            proven: folder.is_proven(),
            accept_loss: log_options.accept_loss,
        };
        let mut log = Log::open(&folder.log(), opening, &mut take_in)?;
        folder.lock_witness()?.into_iter().for_each(|witness| log.watch(witness));
        Models::check_within(&folder.snapshots(), log.next_offset(), log_options.accept_loss)?;
        folder.mark_format()?;
        let lists = Wanted {
            repeat: recommend.repeat_policy,
            history_limit: live.histories.limit(),
            most: options.train.prepared_lists,
        };
        let models = Models::open(folder.snapshots(), options.models.clone())?;
        tracing::info!(
            events = live.events(),
            users = live.users.read().len(),
            items = live.items.read().len(),
            generation = models.generation(),
            seconds = started.elapsed().as_secs_f64(),
            "store open"
        );
        let limits = options.limits.clone();
        let assembling = Mutex::default();
        warn_if_ahead(&live);
        let state = Arc::new(State { live, models, folder, lists, limits, assembling });
        erasure::remove_models(&state);
        let committer = Arc::new(Committer::start(log, known, state.clone())?);
        let background = Arc::new(background::pool(options.train.threads)?);
        let trainer =
            Trainer::start(state.clone(), committer.clone(), &options, background.clone())?;
        let closing = watch::Sender::new(false);
        let uploads = Arc::new(Uploads::new(state.folder.snapshots(), &options.push));
        Ok(Self {
            trainer,
            committer,
            pseudonyms,
            state,
            options,
            scratch: Mutex::default(),
            background,
            uploads,
            checking: Mutex::default(),
            shadow: Shadow::default(),
            batches: Arc::new(Semaphore::new(batch::BATCHES)),
            closing,
            stopping: AtomicBool::new(false),
        })
    }

    /// Begins to end: stops trainings and imports, and those who watch them.
    /// Lists and writes go on until the engine is dropped.
    pub fn close(&self) {
        self.closing.send_replace(true);
        self.stopping.store(true, Ordering::Relaxed);
        self.trainer.close();
    }

    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// What `work` comes to; none once the store closes.
    pub async fn unless_closing<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut closing = self.closing.subscribe();
        tokio::select! {
            _ = closing.wait_for(|&closing| closing) => None,
            done = work => Some(done),
        }
    }

    /// Records events, durably; they count in the shopper's next list.
    ///
    /// # Errors
    /// [`crate::domain::Error::Overloaded`] while too many writes wait,
    /// [`crate::domain::Error::Storage`] where the disk refuses.
    pub async fn record(&self, events: Vec<Event>) -> Result<Receipt> {
        self.write(Write::Events(events)).await
    }

    /// Creates or replaces items, durably; in force from the receipt on.
    ///
    /// # Errors
    /// As [`Engine::record`].
    pub async fn upsert_items(&self, items: Vec<(String, Item)>) -> Result<Receipt> {
        let whole = |(id, item)| (id, ItemChange::whole(item));
        self.change_items(items.into_iter().map(whole).collect()).await
    }

    /// Says something anew of items, durably; in force from the receipt on.
    ///
    /// # Errors
    /// [`crate::domain::Error::Invalid`] where an item breaks a limit after its change; as
    /// [`Engine::record`].
    pub async fn change_items(&self, changes: Vec<(String, ItemChange)>) -> Result<Receipt> {
        self.write(Write::Items(changes)).await
    }

    /// Says of items whether they can be bought, durably; of those that the store does not know
    /// nothing is recorded.
    ///
    /// # Errors
    /// As [`Engine::record`].
    pub async fn set_availability(&self, ids: Vec<String>, available: bool) -> Result<Receipt> {
        self.write(Write::Availability(ids, available)).await
    }

    /// Whether the store knows an item, and it was not deleted.
    pub fn knows_item(&self, id: &str) -> bool {
        let live = &self.state.live;
        live.item(id).is_some_and(|idx| !live.catalogue.read().is_deleted(idx))
    }

    /// Takes an item out of the catalogue, durably: it is never offered until it is written again.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] where the store does not know it, or it was deleted
    /// before; as [`Engine::record`].
    pub async fn delete_item(&self, id: &str) -> Result<Receipt> {
        self.item(id)?;
        let receipt = self.write(Write::DeleteItem(id.to_owned())).await?;
        // Another caller may have been quicker.
        if receipt.recorded == 0 { Err(query::unknown("item", id)) } else { Ok(receipt) }
    }

    /// Whether writes are taken, and every change to come: after a flush that failed they are
    /// not until a restart.
    pub fn watch_writes(&self) -> watch::Receiver<bool> {
        self.committer.watch()
    }

    async fn write(&self, write: Write) -> Result<Receipt> {
        self.committer.write(self.pseudonyms.of_write(write)).await
    }

    /// The same writes for a caller without an async runtime: waits for room, and for
    /// the receipt when [`Pending::wait`] asks for it, which says too if the disk refused.
    ///
    /// # Errors
    /// [`crate::domain::Error::Storage`] once the store closes, or for a batch too large.
    pub fn submit_blocking(&self, write: Write) -> Result<Pending> {
        self.committer.submit_blocking(self.pseudonyms.of_write(write))
    }

    /// Starts a training, unless one runs; returns its id and whether it was
    /// started now.
    pub fn start_training(&self) -> (String, bool) {
        self.trainer.request()
    }

    /// The trainings: status now, and every change to come.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The models: which answers now, which are kept.
    pub fn models(&self) -> &Models {
        &self.state.models
    }

    /// Gives a kept model a role, that to answer for one; returns what is known of it. A pushed
    /// one that waited while the server trained on is put beside what that made, and is another
    /// generation then. May read from disk: for threads that may wait.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] where it is not kept,
    /// [`crate::domain::Error::NotReady`] where nothing would answer any more,
    /// [`crate::domain::Error::Storage`] where it cannot be read.
    pub fn assign_model(&self, generation: Generation, role: Role) -> Result<Manifest> {
        let (models, manifest) = (&self.state.models, self.state.models.find(generation)?);
        // What waited while the server trained on joins what came of that.
        let old = models.active().is_some_and(|active| active.manifest.offset > manifest.offset);
        let serves = matches!(role, Role::Shadow(_) | Role::Canary(_) | Role::Active);
        let waits = manifest.is_pushed() && models.role(generation) == Role::Staged;
        match old && serves && waits {
            true => self.background.install(|| {
                let control = Control::new(&|_| {}, &self.stopping);
                let events = training::read_log(&self.state, self.live().offset())?;
                self.state.renew(generation, role, Some((&events, &control)))
            }),
            false => models.assign(generation, role),
        }
    }

    /// The same with the kept model that answered before.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotReady`] where there is none; as [`Engine::assign_model`].
    pub fn rollback_model(&self) -> Result<Manifest> {
        self.state.models.rollback()
    }

    /// Removes a kept model.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] where it is not kept,
    /// [`crate::domain::Error::NotReady`] for one that takes part in serving.
    pub fn delete_model(&self, generation: Generation) -> Result<()> {
        self.state.models.delete(generation)
    }

    /// Live state, for reading.
    pub fn live(&self) -> &Live {
        &self.state.live
    }

    /// The generation that answers now; 0 before the first.
    pub fn generation(&self) -> Generation {
        self.state.models.generation()
    }

    /// An item by its external id: its idx, and what the catalogue says of it.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] where the store has never heard of it, or it was
    /// deleted.
    pub fn item(&self, id: &str) -> Result<(ItemIdx, Item)> {
        let unknown = || query::unknown("item", id);
        let idx = self.state.live.item(id).ok_or_else(unknown)?;
        let catalogue = self.state.live.catalogue.read();
        if catalogue.is_deleted(idx) {
            return Err(unknown());
        }
        Ok((idx, catalogue.item(idx).unwrap_or_default().into_owned()))
    }

    /// A page of the items from idx `from` on, in idx order; where the next page begins, if
    /// there is one; and how many items the store knows.
    pub fn items(&self, from: usize, page: Page) -> (Vec<(String, Item)>, Option<usize>, usize) {
        let names = self.state.live.items.read();
        let catalogue = self.state.live.catalogue.read();
        let (listed, next) = page.of(from, names.len(), |at| {
            // One whose name is lost is none to anybody.
            let id = Some(names.id(at)).filter(|id| !id.is_empty() && !catalogue.is_deleted(at))?;
            let item = catalogue.item(at).unwrap_or_default().into_owned();
            let bytes = id.len() + item.bytes();
            Some(((id.to_owned(), item), bytes))
        });
        (listed, next, names.len() - catalogue.deleted())
    }

    /// Whether a chunk of an import is on disk whole.
    pub fn has_import_chunk(&self, digest: u128) -> bool {
        self.state.live.imported.read().contains(&digest)
    }

    /// Hands out every entry of the log as of now.
    ///
    /// # Errors
    /// [`crate::domain::Error::Storage`] where bytes are not what was written.
    pub fn replay(&self, visit: &mut dyn FnMut(Entry<'_>)) -> Result<()> {
        Ok(replay(&self.state.folder.log(), self.state.live.offset(), visit)?)
    }
}

/// Says that events were written by a clock that was ahead of this one's.
fn warn_if_ahead(live: &Live) {
    let seconds = live.ahead_ms() / 1_000;
    if seconds > 0 {
        tracing::warn!(
            seconds,
            "the log holds events ahead of this machine's clock; they count as of now. Check the \
             clock, and where the log comes from"
        );
    }
}
