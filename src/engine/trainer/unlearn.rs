//! Takes erased users out of the active model: it is trained again on the same part of the log without
//! them, with its settings and seed, and nothing is tuned. Of the tables that are sums over users (item
//! CF, similar items, items bought together) only the rows and columns of the users' items are computed;
//! the other parts are trained whole. The model equals the one that a training without them makes with
//! these settings, but for the links of the nearest-neighbour graph.
//!
//! Settings, blend weights and the second stage are fitted to held-out behaviour of many users; those of
//! the active model stay until the next training.

use std::sync::Arc;

use super::erasure;
use super::run::{Material, Runner, training};
use super::timeline::Timeline;
use crate::domain::progress::{Control, Stage};
use crate::domain::{Error, Result};
use crate::engine::behaviour::{self, Behaviour};
use crate::model::{Manifest, Snapshot};
use crate::sources::{DataSize, TrainingMemory};
use crate::store::memory;
use crate::train::{Earlier, REVISION, TrainError};
use crate::tune::Tuned;

impl Runner {
    /// Publishes the active model without the users erased since, and rewrites the log's files without
    /// them; returns the manifest of the model that is active then.
    ///
    /// # Errors
    /// [`Error::Training`] with the reason, also where another model was activated meanwhile;
    /// [`Error::Storage`] where the disk fails.
    pub(super) fn unlearn(&self, control: &Control<'_>, timeline: &Timeline) -> Result<Manifest> {
        let unlearned = self.active_without_erased(control, timeline);
        // Whatever became of the model, the files must not keep them.
        let rewritten = erasure::rewrite_log(&self.state, &self.writer, control);
        erasure::remove_models(&self.state);
        let manifest = unlearned?;
        rewritten?;
        Ok(manifest)
    }

    fn active_without_erased(
        &self,
        control: &Control<'_>,
        timeline: &Timeline,
    ) -> Result<Manifest> {
        let newest = self.state.live.erasures.read().newest();
        let none = || Error::NotReady("there is no model to take users out of".to_owned());
        let active = self.state.models.active().ok_or_else(none)?;
        let Some(newest) = newest.filter(|newest| active.manifest.erased_to() <= *newest) else {
            return Ok(active.manifest.clone());
        };

        control.begin(Stage::ReadLog).map_err(training)?;
        let budget = memory::left_for_training(self.options().memory_mib);
        let behaviour = behaviour::read(&self.state, active.manifest.offset)?;
        let corpus = Arc::new(self.state.live.corpus());
        let carried = self.publisher.carried();

        let events = &behaviour.events;
        let size = DataSize::of(events, rayon::current_num_threads());
        let memory = TrainingMemory { size, budget };
        let earlier = self.earlier(&active, &behaviour);
        let material = Material { events, corpus: &corpus, earlier, memory };
        let tuned = Tuned::of(&active);
        let before = &active.manifest;
        let (trained, left_out) = match self.train_parts(material, &tuned, before.seed, control) {
            // All that the model was trained on is gone; there may be newer events.
            Err(TrainError::Empty) => {
                return self.train(control, timeline, self.state.live.offset(), true);
            }
            trained => trained.map_err(training)?,
        };

        // It is as old as the training that it is made of.
        let manifest = Manifest {
            offset: before.offset,
            unlearned_to: newest + 1,
            newest_ms: events.as_of_ms(),
            seed: before.seed,
            created_ms: before.created_ms,
            train_seconds: before.train_seconds,
            stages: before.stages.clone(),
            left_out,
            ..Manifest::default()
        };
        let mut snapshot = tuned.snapshot(trained, manifest);
        carried.add_to(&mut snapshot);
        drop(behaviour);
        control.begin(Stage::Persist).map_err(training)?;
        let after = Some(before.generation);
        self.publisher.publish(snapshot, carried.generation(), after)
    }

    /// The active model's training, where it differs from one of today by the erased users alone, and
    /// the log still says which items were theirs.
    fn earlier<'a>(&self, active: &'a Snapshot, behaviour: &'a Behaviour) -> Option<Earlier<'a>> {
        let Snapshot { manifest, parts } = active;
        let live = &self.state.live;
        let out_of_files = live.erasures.read().newest_out_of_files();
        let knows_items = out_of_files < Some(manifest.erased_to());
        let has_same_users = live.behaviour_changed_to() <= manifest.offset;
        let has_same_time =
            !behaviour.has_ahead && behaviour.events.as_of_ms() == manifest.newest_ms;
        let has_same_formulas = manifest.revision == REVISION;
        (knows_items && has_same_users && has_same_time && has_same_formulas)
            .then_some(Earlier { parts, items: &behaviour.erased_items })
    }
}
