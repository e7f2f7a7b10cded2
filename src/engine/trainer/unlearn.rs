//! Takes erased users out of the active model: it is trained again on the same part of the log without
//! them, with its settings and seed. Tables are sums over users, so that only the rows and columns of
//! the users' items are made anew; no setting is tuned. The model equals the one that a training
//! without them makes with these settings, but for the links of the nearest-neighbour graph.
//!
//! Settings, blend weights and the second stage are fitted to held-out behaviour of many users; those of
//! the active model stay until the next training.

use std::sync::Arc;

use super::carried::CarriedPush;
use super::erasure;
use super::run::{Material, Runner, training};
use super::timeline::Timeline;
use crate::domain::progress::{Control, Stage};
use crate::domain::{Error, Result};
use crate::engine::behaviour::{self, Behaviour};
use crate::model::{Manifest, Snapshot};
use crate::sources::{DataSize, TrainingMemory};
use crate::store::memory;
use crate::train::Earlier;
use crate::tune::Tuned;

impl Runner {
    /// Publishes the active model without the users erased since, and rewrites the log's files without
    /// them; returns the manifest of the model that is active then.
    ///
    /// # Errors
    /// [`Error::Training`] with the reason, [`Error::Storage`] where the disk fails.
    pub(super) fn unlearn(&self, control: &Control<'_>, timeline: &Timeline) -> Result<Manifest> {
        let unlearned = self.active_without_erased(control, timeline);
        // Whatever became of the model, the files must not keep them.
        let rewritten = erasure::rewrite_log(&self.state, &self.writer, control);
        erasure::remove_models(&self.state);
        rewritten.and(unlearned)
    }

    fn active_without_erased(
        &self,
        control: &Control<'_>,
        timeline: &Timeline,
    ) -> Result<Manifest> {
        let newest = self.state.live.erasures.read().newest();
        let none = || Error::NotReady("there is no model to take users out of".to_owned());
        let active = self.state.models.active().ok_or_else(none)?;
        let Some(newest) = newest.filter(|newest| active.manifest.clean_to() <= *newest) else {
            return Ok(active.manifest.clone());
        };

        control.begin(Stage::ReadLog).map_err(training)?;
        let budget = memory::left_for_training(self.options().memory_mib);
        let behaviour = behaviour::read(&self.state, active.manifest.offset)?;
        let corpus = Arc::new(self.state.live.corpus());
        let carried = CarriedPush::of_active(&self.state, self.keep_pushed_days);

        let events = &behaviour.events;
        let size = DataSize::of(events, rayon::current_num_threads());
        let memory = TrainingMemory { size, budget };
        let earlier = self.earlier(&active, &behaviour);
        let material = Material { events, corpus: &corpus, earlier, memory };
        let tuned = Tuned::of(&active);
        let seed = active.manifest.seed;
        let (trained, left_out) = self.train_parts(material, &tuned, seed, control)?;
        let manifest = Manifest {
            offset: active.manifest.offset,
            erased_to: newest + 1,
            newest_ms: events.as_of_ms(),
            seed,
            left_out,
            ..Manifest::default()
        };

        let mut snapshot = tuned.snapshot(trained, manifest);
        carried.add_to(&mut snapshot);
        drop(behaviour);
        control.begin(Stage::Persist).map_err(training)?;
        self.publish(snapshot, &carried, timeline)
    }

    /// The active model's training, where it differs from one of today by the erased users alone, and
    /// the log still says which items were theirs.
    fn earlier<'a>(&self, active: &'a Snapshot, behaviour: &'a Behaviour) -> Option<Earlier<'a>> {
        let Snapshot { manifest, parts } = active;
        let live = &self.state.live;
        let out_of_files = live.erasures.read().newest_out_of_files();
        let knows_items = out_of_files < Some(manifest.clean_to());
        let has_same_users = live.regrouped_to() <= manifest.offset;
        let has_same_time = behaviour.events.as_of_ms() == manifest.newest_ms;
        (knows_items && has_same_users && has_same_time)
            .then_some(Earlier { parts, items: &behaviour.erased_items })
    }
}
