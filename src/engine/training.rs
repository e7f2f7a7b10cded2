//! One training, on the trainer's thread: the log without erased users, tuned settings, a
//! snapshot, lists made ahead, all of it persisted and published.

use std::sync::Arc;

use super::committer::Write;
use super::timeline::Timeline;
use super::trainer::Worker;
use super::{State, beside, erasure};
use crate::domain::progress::{Control, Stage};
use crate::domain::{DAY_MS, Error, EventKind, Generation, HistoryEvent, Offset, Result, now_ms};
use crate::live::history_event;
use crate::matrix::UserEvents;
use crate::model::settings::BlendSettings;
use crate::model::{Lineage, Manifest, Pushed, Role, Settings, Snapshot};
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
        timeline: &Timeline,
        offset: Offset,
        quick: bool,
    ) -> Result<Manifest> {
        let failed = |e: &dyn std::fmt::Display| Error::Training(e.to_string());
        control.begin(Stage::ReadLog).map_err(|e| failed(&e))?;
        erasure::rewrite_log(&self.state, &self.committer, control)?;
        let events = read_log(&self.state, offset)?;
        let carried = self.carried();
        let tuned = self.tune(&events, &carried, quick, control).map_err(|e| failed(&e))?;
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
            offset,
            newest_ms: events.as_of_ms(),
            seed: self.options.seed,
            ..Manifest::default()
        };
        let mut snapshot = tuned.snapshot(trained, manifest);
        carried.put_beside(&mut snapshot);
        if !quick {
            control.begin(Stage::Lists).map_err(|e| failed(&e))?;
            let seconds = self.options.prepare_seconds;
            let prepared = self.state.prepare(&snapshot, &events, seconds, control);
            let prepared = prepared.map_err(|e| failed(&e))?;
            snapshot.parts.prepared = Arc::new(prepared);
        }
        drop(events);
        control.begin(Stage::Persist).map_err(|e| failed(&e))?;
        // A model on disk must not know more than the log on disk.
        self.committer.submit_blocking(Write::Flush)?.wait()?;
        snapshot.manifest.created_ms = now_ms();
        snapshot.manifest.train_seconds = timeline.started.elapsed().as_secs_f64();
        snapshot.manifest.stages = timeline.stages();
        let assembling = self.state.assembling.lock();
        // One that was pushed meanwhile has taken the next number.
        snapshot.manifest.generation = self.state.models.next_generation()?;
        let now = self.carried();
        if now.generation() == carried.generation() {
            snapshot.parts.pushed = now.pushed;
        } else {
            // Pushed, or gone back behind, since this training began.
            beside::put(&mut snapshot, &now.pushed, |source| now.blend.weight(source));
            snapshot.manifest.pushed = now.lineage;
        }
        let manifest = self.state.models.publish(snapshot, Role::Active)?;
        drop(assembling);
        self.state.live.overlay.write().forget_before(offset);
        erasure::remove_models(&self.state);
        Ok(manifest)
    }

    /// The settings to train with: fitted to the store, beginning with those of the
    /// model before, unless the model is wanted quickly.
    fn tune(
        &self,
        events: &UserEvents,
        carried: &Carried,
        quick: bool,
        control: &Control<'_>,
    ) -> std::result::Result<Tuned, TrainError> {
        if quick || !self.options.tune {
            return Ok(Tuned::untuned(carried.beside(self.options.settings)));
        }
        let before = self.state.models.active();
        let served = before.filter(|s| s.manifest.tuning.is_some());
        let tuner = Tuner {
            events,
            start: carried
                .beside(served.as_ref().map_or(self.options.settings, |s| s.manifest.settings)),
            served: served.is_some(),
            defaults: self.options.settings,
            pushed: carried.pushed.clone(),
            seed: self.options.seed,
            control,
        };
        let mut tuned = tuner.tune(Task::NextBasket(self.repeat), self.options.budget())?;
        let sessions = served.as_ref().and_then(|s| s.manifest.session_settings.as_ref());
        tuner.tune_sessions(&mut tuned, sessions, self.options.budget())?;
        Ok(tuned)
    }

    /// The pushed model that answers now, to be carried on: without users who are gone, and not
    /// for ever.
    fn carried(&self) -> Carried {
        let active = self.state.models.active();
        let young = |lineage: &Lineage| {
            now_ms() - lineage.pushed_ms <= i64::from(self.keep_pushed_days) * DAY_MS
        };
        let lineage = active.as_ref().and_then(|a| a.manifest.pushed.clone()).filter(young);
        let Some((active, lineage)) = active.zip(lineage) else { return Carried::default() };
        let pushed = self.state.without_gone(&active.parts.pushed);
        Carried { pushed, lineage: Some(lineage), blend: active.manifest.settings.blend }
    }
}

/// A pushed model that goes on beside what a training made.
#[derive(Default)]
struct Carried {
    pushed: Arc<Pushed>,
    lineage: Option<Lineage>,
    /// The blend that it has been in.
    blend: BlendSettings,
}

impl Carried {
    fn generation(&self) -> Option<Generation> {
        self.lineage.as_ref().map(|lineage| lineage.generation)
    }

    /// What a training begins with, and the weights that it has been blended in with.
    fn beside(&self, settings: Settings) -> Settings {
        let blend = settings.blend.with_pushed(&self.pushed, |source| self.blend.weight(source));
        Settings { blend, ..settings }
    }

    /// Puts it into a snapshot whose blends have weights for it.
    fn put_beside(&self, snapshot: &mut Snapshot) {
        let manifest = &mut snapshot.manifest;
        for settings in [Some(&mut manifest.settings), manifest.session_settings.as_mut()] {
            let Some(settings) = settings else { continue };
            let blend = settings.blend;
            settings.blend = blend.with_pushed(&self.pushed, |source| blend.weight(source));
        }
        manifest.pushed = self.lineage.clone();
        snapshot.parts.pushed = self.pushed.clone();
    }
}

/// What the log before `offset` says that may be trained on.
///
/// # Errors
/// [`Error::Storage`] where the log is not what was written.
pub(super) fn read_log(state: &State, offset: Offset) -> Result<UserEvents> {
    let (mut users, mut items, mut log) = (0, 0, Vec::new());
    let objecting = state.live.profiles.read().objecting();
    let now_ms = now_ms();
    replay(&state.folder.log(), offset, &mut |entry| match entry {
        Entry::User(_) => users += 1,
        Entry::Item(_) => items += 1,
        // Impressions are no behaviour: histories do not hold them either.
        Entry::Record(at, Record::Event(event))
            if at < offset
                && event.kind != EventKind::Impression
                && !objecting.contains(&event.user) =>
        {
            // What a clock that was ahead wrote down counts as of now.
            let time_ms = event.time_ms.min(now_ms);
            log.push((event.user, HistoryEvent { time_ms, ..history_event(&event) }));
        }
        Entry::Record(..) => {}
    })?;
    Ok(UserEvents::new(users, items, log))
}
