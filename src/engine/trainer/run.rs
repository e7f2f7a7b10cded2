//! One training: the log without erased users, tuned settings, a snapshot, prepared lists;
//! persisted, then published.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::carried::CarriedPush;
use super::erasure;
use super::publish::Publisher;
use super::timeline::Timeline;
use crate::content::Corpus;
use crate::doctor::Pulse;
use crate::domain::progress::{Control, Stage};
use crate::domain::{BoxError, Error, Offset, Result, now_ms};
use crate::engine::behaviour::{self, Behaviour};
use crate::engine::options::{DoctorPolicy, TrainOptions};
use crate::engine::push::assemble;
use crate::engine::state::State;
use crate::engine::write::Writer;
use crate::matrix::UserEvents;
use crate::model::{Manifest, Source};
use crate::recommend::RepeatPolicy;
use crate::sources::{DataSize, Trained, TrainingMemory, train};
use crate::store::{Unfinished, memory};
use crate::train::{Earlier, TrainError, TrainingData};
use crate::tune::{Task, Tuned, Tuner};

/// Runs trainings of one store.
pub(super) struct Runner {
    pub(super) state: Arc<State>,
    pub(super) writer: Writer,
    pub(super) publisher: Publisher,
    /// The store's repeat policy.
    pub(super) repeat: RepeatPolicy,
}

/// What a training learns from.
#[derive(Clone, Copy)]
pub(super) struct Material<'a> {
    pub(super) events: &'a UserEvents,
    pub(super) corpus: &'a Arc<Corpus>,
    /// The training before, whose users are taken out of it.
    pub(super) earlier: Option<Earlier<'a>>,
    pub(super) memory: TrainingMemory,
}

impl Runner {
    /// The settings in force. A training takes them once, when it begins.
    pub(super) fn options(&self) -> Arc<TrainOptions> {
        self.state.train.load_full()
    }

    /// Trains on the log before `offset`. A quick training uses the settings as they are and
    /// prepares no lists.
    ///
    /// # Errors
    /// [`Error::Training`] with the reason, [`Error::Storage`] where the disk fails.
    pub(super) fn train(
        &self,
        control: &Control<'_>,
        timeline: &Timeline,
        offset: Offset,
        quick: bool,
    ) -> Result<Manifest> {
        let options = &*self.options();
        control.begin(Stage::ReadLog).map_err(training)?;
        erasure::rewrite_log(&self.state, &self.writer, control)?;
        let is_tuned = !quick && options.tune;
        let root = self.state.folder.root();
        let unfinished = if is_tuned { Unfinished::begin(root) } else { Unfinished::default() };
        let budget = memory::left_for_training(options.memory_mib);
        let Behaviour { events, pulse, .. } = behaviour::read(&self.state, offset)?;
        self.check(pulse, options)?;
        let corpus = Arc::new(self.state.live.corpus());
        let carried = self.publisher.carried();

        let size = DataSize::of(&events, rayon::current_num_threads());
        let memory = TrainingMemory { size, budget };
        let material = Material { events: &events, corpus: &corpus, earlier: None, memory };
        let tuned = if is_tuned {
            let unfinished = (Arc::new(unfinished), offset);
            self.tune(material, &carried, unfinished, (options, control)).map_err(training)?
        } else {
            Tuned::untuned(carried.with_weights(options.settings))
        };
        let trained = self.train_parts(material, &tuned, options.seed, control);
        if matches!(trained, Err(TrainError::Empty)) {
            erasure::remove_last_model(&self.state);
        }
        let (trained, left_out) = trained.map_err(training)?;
        let manifest = Manifest {
            offset,
            newest_ms: events.as_of_ms(),
            seed: options.seed,
            left_out,
            ..Manifest::default()
        };

        let mut snapshot = tuned.snapshot(trained, manifest);
        carried.add_to(&mut snapshot);

        if !quick {
            control.begin(Stage::Lists).map_err(training)?;
            let seconds = options.prepare_seconds;
            let prepared = assemble::prepare(&self.state, &snapshot, &events, seconds, control);
            snapshot.parts.prepared = Arc::new(prepared.map_err(training)?);
        }
        drop(events);

        control.begin(Stage::Persist).map_err(training)?;
        snapshot.manifest.created_ms = now_ms();
        snapshot.manifest.train_seconds = timeline.started.elapsed().as_secs_f64();
        snapshot.manifest.stages = timeline.stages();
        let manifest = self.publisher.publish(snapshot, carried.generation(), None)?;
        erasure::remove_models(&self.state);
        Ok(manifest)
    }

    /// Holds the training back where its data is broken, the settings say so, and a model answers
    /// meanwhile. One that erased users need is never held back.
    fn check(&self, pulse: Pulse, options: &TrainOptions) -> Result<()> {
        let Some(complaint) = pulse.complaint() else { return Ok(()) };
        let may_wait = self.state.models.generation() > 0 && !erasure::is_owed(&self.state);
        if options.doctor == DoctorPolicy::Hold && may_wait {
            return Err(Error::HeldBack(complaint));
        }
        tracing::warn!(complaint, "the data of this training looks broken; see qianmian doctor");
        Ok(())
    }

    /// The settings to train with: fitted to the store, starting from those of the active model. What
    /// a training that was stopped has found of them is not searched again.
    fn tune(
        &self,
        material: Material<'_>,
        carried: &CarriedPush,
        (unfinished, offset): (Arc<Unfinished>, Offset),
        (options, control): (&TrainOptions, &Control<'_>),
    ) -> Result<Tuned, TrainError> {
        let active = self.state.models.active();
        let served = active.filter(|s| s.manifest.tuning.is_some());
        let start = served.as_ref().map_or(options.settings, |s| s.manifest.settings);
        let left_out = material.memory.left_out(&carried.with_weights(start))?;
        let sessions = served.as_ref().and_then(|s| s.manifest.session_settings.as_ref());

        let TrainOptions { seed, tune_trials, tune_minutes, settings, .. } = options;
        let found_by = (env!("SOURCE_HASH"), seed, tune_trials, tune_minutes, self.repeat);
        let found_from = (settings, start, sessions, carried.generation(), &left_out);
        let basis = format!("{found_by:?} {found_from:?}");
        let basis = format!("{:032x}", xxh3_128(basis.as_bytes()));
        unfinished.keep_fitting(&basis, offset);

        let tuner = Tuner {
            events: material.events,
            corpus: material.corpus.clone(),
            start: carried.with_weights(start),
            served: served.is_some(),
            defaults: options.settings,
            pushed: carried.pushed.clone(),
            left_out: &left_out,
            seed: options.seed,
            control,
            unfinished,
        };
        let mut tuned = tuner.tune(Task::NextBasket(self.repeat), options.budget())?;
        tuner.tune_sessions(&mut tuned, sessions, options.budget())?;
        Ok(tuned)
    }

    /// Trains the parts of the snapshot, and names the sources for which there is no memory.
    pub(super) fn train_parts(
        &self,
        material: Material<'_>,
        tuned: &Tuned,
        seed: u64,
        control: &Control<'_>,
    ) -> Result<(Trained, Vec<Source>), TrainError> {
        let left_out = material.memory.left_out(&tuned.settings)?;
        if !left_out.is_empty() {
            let sources =
                left_out.iter().map(|source| source.name()).collect::<Vec<_>>().join(", ");
            let budget_mib = material.memory.budget.map_or(0, |bytes| bytes >> 20);
            tracing::warn!(sources, budget_mib, "left out of the training for lack of memory");
        }

        let mut sources = tuned.sources();
        sources.retain(|source| !left_out.contains(source));
        let data = TrainingData::new(material.events).with_corpus(material.corpus);
        let data = data.after(material.earlier);
        Ok((train(&data, &tuned.settings, &sources, seed, control)?, left_out))
    }
}

pub(super) fn training(error: impl Into<BoxError>) -> Error {
    Error::Training(error.into())
}
