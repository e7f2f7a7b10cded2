//! One training, on the trainer's thread: the log without erased users, tuned settings, a
//! snapshot, lists made ahead, all of it persisted and published.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::erasure;
use super::trainer::Worker;
use crate::domain::progress::{Cancelled, Control, Stage};
use crate::domain::{Error, EventKind, Generation, Offset, Result, now_ms};
use crate::live::history_event;
use crate::matrix::UserEvents;
use crate::model::{Manifest, Prepared, Snapshot};
use crate::recommend;
use crate::recommend::prepared::Wanted;
use crate::store::{Entry, Record, replay};
use crate::train::{Material, TrainError, train};
use crate::tune::{Task, Tuned, Tuner};

impl Worker {
    /// Trains on the log before `offset`; quickly: with settings as they are, and without
    /// lists made ahead.
    ///
    /// # Errors
    /// [`Error::Training`] with the reason, [`Error::Storage`] where the disk refuses.
    pub(super) fn train(
        &self,
        control: &Control<'_>,
        started: Instant,
        offset: Offset,
        quick: bool,
    ) -> Result<Generation> {
        let failed = |e: &dyn std::fmt::Display| Error::Training(e.to_string());
        control.begin(Stage::ReadLog).map_err(|e| failed(&e))?;
        erasure::rewrite_log(&self.state, &self.committer, control)?;
        let events = self.read_log(offset)?;
        let tuned = self.tune(&events, quick, control).map_err(|e| failed(&e))?;
        let (settings, sources) = (tuned.settings, tuned.sources());
        let material = Material::new(&events);
        let trained = train(&material, &settings, &sources, self.options.seed, control)
            .inspect_err(|e| {
                if matches!(e, TrainError::Empty) {
                    erasure::remove_last_model(&self.state);
                }
            })
            .map_err(|e| failed(&e))?;
        drop(material);
        let manifest = Manifest {
            generation: self.state.models.next_generation(),
            offset,
            newest_ms: events.newest_ms(),
            seed: self.options.seed,
            ..Manifest::default()
        };
        let generation = manifest.generation;
        let mut snapshot = tuned.snapshot(trained, manifest);
        if !quick {
            control.begin(Stage::Lists).map_err(|e| failed(&e))?;
            let prepared = self.prepare(&snapshot, &events, control).map_err(|e| failed(&e))?;
            snapshot.parts.prepared = Arc::new(prepared);
        }
        drop(events);
        control.begin(Stage::Persist).map_err(|e| failed(&e))?;
        snapshot.manifest.created_ms = now_ms();
        snapshot.manifest.train_seconds = started.elapsed().as_secs_f64();
        self.state.models.publish(snapshot, self.options.keep_models)?;
        self.state.live.overlay.write().forget_before(offset);
        erasure::remove_models(&self.state);
        Ok(generation)
    }

    /// Lists for those who were there last, as many as the time for them allows. They are
    /// as of the newest event; a list made when asked is as of then.
    fn prepare(
        &self,
        snapshot: &Snapshot,
        events: &UserEvents,
        control: &Control<'_>,
    ) -> std::result::Result<Prepared, Cancelled> {
        let until = Instant::now() + Duration::from_secs(self.options.prepare_seconds);
        let wanted = Wanted {
            repeat: self.repeat,
            history_limit: self.state.live.histories.limit(),
            most: self.options.prepared_lists,
        };
        recommend::prepare(snapshot, events, wanted, || Instant::now() >= until, control)
    }

    /// The settings to train with: fitted to the store, beginning with those of the
    /// model before, unless the model is wanted quickly.
    fn tune(
        &self,
        events: &UserEvents,
        quick: bool,
        control: &Control<'_>,
    ) -> std::result::Result<Tuned, TrainError> {
        if quick || !self.options.tune {
            return Ok(Tuned::untuned(self.options.settings));
        }
        let before = self.state.models.active();
        let served = before.filter(|s| s.manifest.tuning.is_some());
        let tuner = Tuner {
            events,
            start: served.as_ref().map_or(self.options.settings, |s| s.manifest.settings),
            served: served.is_some(),
            seed: self.options.seed,
            control,
        };
        let mut tuned = tuner.tune(Task::NextBasket(self.repeat), self.options.budget())?;
        let sessions = served.as_ref().and_then(|s| s.manifest.session_settings.as_ref());
        tuner.tune_sessions(&mut tuned, sessions, self.options.budget())?;
        Ok(tuned)
    }

    fn read_log(&self, offset: Offset) -> Result<UserEvents> {
        let (mut users, mut items, mut log) = (0, 0, Vec::new());
        let objecting = self.state.live.profiles.read().objecting();
        replay(&self.state.folder.log(), offset, &mut |entry| match entry {
            Entry::User(_) => users += 1,
            Entry::Item(_) => items += 1,
            // Impressions are no behaviour: histories do not hold them either.
            Entry::Record(at, Record::Event(event))
                if at < offset
                    && event.kind != EventKind::Impression
                    && !objecting.contains(&event.user) =>
            {
                log.push((event.user, history_event(&event)));
            }
            Entry::Record(..) => {}
        })?;
        Ok(UserEvents::new(users, items, log))
    }
}
