//! Publishes what was trained: here, or through the server that writes.

use std::sync::Arc;
use std::time::Duration;

use super::carried::CarriedPush;
use crate::domain::{Error, Generation, Result};
use crate::engine::desk::Desk;
use crate::engine::push::assemble;
use crate::engine::state::State;
use crate::engine::write::{Write, Writer};
use crate::model::copied::{self, IncomingModel};
use crate::model::{Manifest, Role, Snapshot, disk};

/// Time that the model may take to come back as one that is followed.
const RETURN_PATIENCE: Duration = Duration::from_secs(60);

/// Publishes the trained snapshots of a store.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    pub(super) state: Arc<State>,
    pub(super) writer: Writer,
    /// Days for which a pushed model is carried on.
    pub(super) keep_pushed_days: u32,
}

impl Publisher {
    /// The pushed part of the active model.
    pub(super) fn carried(&self) -> CarriedPush {
        CarriedPush::of_active(&self.state, self.keep_pushed_days)
    }

    /// Persists and publishes a trained snapshot, with the pushed part that is active by now; `carried` is the
    /// generation of the one that it was trained beside. With `after`, the generation that must still be
    /// active.
    pub(super) fn publish(
        &self,
        mut snapshot: Snapshot,
        carried: Option<Generation>,
        after: Option<Generation>,
    ) -> Result<Manifest> {
        if self.state.seats.hands_over {
            return self.hand_over(snapshot, after);
        }

        // A model on disk must not know more than the log on disk.
        self.writer.submit_blocking(Write::Flush)?.wait()?;
        let offset = snapshot.manifest.offset;

        let assembling = self.state.assembling.lock();
        if after.is_some_and(|after| self.state.models.generation() != after) {
            return Err(Error::Training("another model was activated meanwhile".into()));
        }

        // A model pushed in the meantime has taken the next number.
        snapshot.manifest.generation = self.state.models.next_generation()?;

        let now = self.carried();
        if now.generation() == carried {
            snapshot.parts.pushed = now.pushed;
        } else {
            // Pushed, or rolled back, since this training began.
            assemble::put(&mut snapshot, &now.pushed, |source| now.blend.weight(source));
            snapshot.manifest.pushed = now.lineage;
        }

        let manifest = self.state.models.publish(snapshot, Role::Active)?;
        drop(assembling);

        self.state.live.overlay.write().forget_before(offset);
        Ok(manifest)
    }

    /// Publishes a model that another server has trained on a part of this log.
    ///
    /// # Errors
    /// [`Error::NotReady`] where the log does not reach what it was trained on; [`Error::Storage`] where its
    /// bytes are not what was sent.
    pub(super) fn adopt(
        &self,
        model: IncomingModel,
        after: Option<Generation>,
    ) -> Result<Manifest> {
        let known = model.manifest().known_offset();
        if known > self.state.live.offset() {
            let message = format!("the model was made of records up to {known}");
            return Err(Error::NotReady(message));
        }
        let snapshot = model.load().map_err(|error| Error::Storage(error.into()))?;
        let carried = snapshot.manifest.pushed.as_ref().map(|lineage| lineage.generation);
        self.publish(snapshot, carried, after)
    }

    /// Hands a snapshot over to the server that writes, which publishes it, and waits for it to come back.
    fn hand_over(&self, mut snapshot: Snapshot, after: Option<Generation>) -> Result<Manifest> {
        let failed = |error: disk::SnapshotError| Error::Storage(error.into());
        let position = self.state.position();
        let folder = copied::handing_folder(&self.state.folder.snapshots()).map_err(failed)?;
        snapshot.manifest.generation = self.state.models.next_generation()?;
        disk::save(folder.path(), &mut snapshot).map_err(failed)?;
        let mut manifest = snapshot.manifest.clone();
        drop(snapshot);

        let place = (folder.path().to_owned(), manifest.generation);
        let model = (place, manifest.checksum.clone());
        let is_closing = || self.state.closing.has_begun();
        tracing::info!("the model is handed over to the server that writes");
        manifest.generation = self.state.desk.hand_over(model, position, after, is_closing)?;
        let is_back = || self.state.models.generation() >= manifest.generation;
        Desk::wait_until(is_back, RETURN_PATIENCE, is_closing);
        Ok(manifest)
    }
}
