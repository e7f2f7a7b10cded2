//! Publishes what another server has trained.

use std::sync::Arc;
use std::time::Duration;

use super::board::Board;
use super::notes::{Adopted, FORMAT, TrainedNote, TrainerNote};
use crate::domain::{BoxError, Generation};
use crate::engine::replication::{Position, extended};
use crate::engine::{DEFAULT_STORE, wait_for};
use crate::host::{Host, Hosted};
use crate::objects::{Bucket, ObjectError, Seated, Version};
use crate::store::folder;
use crate::store::sealed;
use crate::telemetry::Failing;

/// Publishes models that are handed over, on the server that writes.
pub(super) struct Adoption {
    pub(super) bucket: Bucket,
    pub(super) board: Arc<Board>,
    pub(super) host: Arc<Host>,
    pub(super) every: Duration,
}

impl Adoption {
    /// Looks for models again and again.
    pub(super) async fn run(self) {
        let mut failing = Failing::new("models of other trainers are not taken in");
        let mut seen: Option<Version> = None;
        loop {
            match self.look(&mut seen).await {
                Ok(()) => failing.ended(""),
                Err(error) => failing.again("", error.to_string()),
            }
            tokio::time::sleep(self.every).await;
        }
    }

    async fn look(&self, seen: &mut Option<Version>) -> Result<(), BoxError> {
        let name = TrainerNote::NAME;
        let Some(found) = self.bucket.get_if_changed(name, seen.as_ref()).await? else {
            return Ok(());
        };
        let note: TrainerNote =
            sealed::unseal_strictly(&found.bytes).map_err(|e| ObjectError::damaged(name, e))?;
        if note.format > FORMAT {
            return Err("the trainer is of a newer version".into());
        }

        let mut failed = None;
        for (name, trained) in &note.trained {
            let Ok(store) = self.host.store(name) else { continue };
            let adopted = self.board.of(&store).adopted;
            let is_known = adopted.is_some_and(|adopted| adopted.id == trained.id);
            // The default store has no time of creation everywhere.
            let is_it = name == DEFAULT_STORE || store.settings().created_ms == trained.created_ms;
            if is_known || !is_it {
                continue;
            }
            let outcome = match self.adopt(&store, trained).await {
                Ok(generation) => Ok(generation),
                // The object store fails: the model waits.
                Err(error) if is_failure(&error) => {
                    failed = Some(error);
                    continue;
                }
                Err(error) => {
                    tracing::warn!(store = store.name, %error, "a trained model is refused");
                    Err(error.to_string())
                }
            };
            self.board.set_adopted(&store, Adopted { id: trained.id.clone(), outcome });
        }
        match failed {
            Some(error) => Err(error),
            None => {
                *seen = Some(found.version);
                Ok(())
            }
        }
    }

    /// Publishes a model; returns its generation.
    async fn adopt(&self, store: &Hosted, trained: &TrainedNote) -> Result<Generation, BoxError> {
        let position = Position {
            format: folder::FORMAT,
            key: trained.key.clone(),
            offset: trained.offset,
            writer: trained.writer.clone(),
        };
        store.engine.source().check(&position)?;

        let manifest = self.bucket.get_piece(&trained.model.manifest).await?;
        let engine = store.engine.clone();
        let mut model = wait_for(move || engine.receive_model(&manifest)).await?;
        for piece in &trained.model.arrays {
            let bytes = self.bucket.get_piece(piece).await?;
            model = wait_for(move || extended(model, &bytes)).await?;
        }
        let engine = store.engine.clone();
        let after = trained.after;
        Ok(wait_for(move || engine.trainer().adopt(model, after)).await?)
    }
}

/// Whether the object store fails, so that the same may succeed later.
fn is_failure(error: &BoxError) -> bool {
    error.downcast_ref().is_some_and(|error: &ObjectError| !error.is_loss())
}
