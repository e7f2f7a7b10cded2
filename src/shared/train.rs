//! The lease to train, and what is trained under it for the server that writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::follow::Notes;
use super::notes::{Adopted, FORMAT, TrainedNote, TrainerNote};
use super::upload_models;
use crate::domain::{BoxError, Error, Generation};
use crate::engine::HandedModel;
use crate::host::{Host, Hosted};
use crate::model::copied::StoredModel;
use crate::objects::{Bucket, Chair, Piece, Renewed};
use crate::telemetry::Failing;

/// What this server has trained.
#[derive(Debug, Default)]
pub(super) struct Trained {
    /// By the names of the stores.
    models: Mutex<BTreeMap<String, TrainedNote>>,
    /// What is uploaded of models that are not complete yet, by the names of the stores.
    uploading: Mutex<BTreeMap<String, Vec<Piece>>>,
    /// Whether another server trains.
    is_elsewhere: AtomicBool,
}

/// Takes the seat of the trainer whenever it is free, and holds it.
pub(super) async fn hold_seat(mut chair: Chair, trained: Arc<Trained>, every: Duration) {
    let mut failing = Failing::new("there is no lease to train");
    let mut note: Option<TrainerNote> = None;
    loop {
        match next(&mut chair, note.take(), &trained).await {
            Ok(held) => {
                failing.ended("");
                note = held;
            }
            Err(error) => failing.again("", error.to_string()),
        }
        tokio::time::sleep(every).await;
    }
}

/// Renews the seat that `held` was written for, or takes it where it is free; returns what was written.
async fn next(
    chair: &mut Chair,
    held: Option<TrainerNote>,
    trained: &Trained,
) -> Result<Option<TrainerNote>, BoxError> {
    let before = match held {
        Some(held) => held.seat.beat,
        None => {
            let seen: Option<TrainerNote> = chair.look().await?;
            let is_own = |note: &TrainerNote| note.seat.holder == chair.id();
            if seen.as_ref().is_some_and(|note| !is_own(note) && !chair.is_free(&note.seat)) {
                trained.is_elsewhere.store(true, Ordering::Release);
                return Ok(None);
            }
            seen.map_or(0, |note| note.seat.beat)
        }
    };

    // In this order: what is complete was uploading before.
    let uploading = trained.uploading.lock().clone();
    let models = trained.models.lock().clone();
    let note = TrainerNote { format: FORMAT, seat: chair.seat(before), trained: models, uploading };
    let is_new = before == 0 || !chair.is_held();
    match chair.write(&note).await? {
        Renewed::Held => {
            trained.is_elsewhere.store(false, Ordering::Release);
            if is_new {
                tracing::info!("this server trains");
            }
            Ok(Some(note))
        }
        Renewed::Lost => {
            trained.is_elsewhere.store(true, Ordering::Release);
            tracing::warn!("another server trains");
            Ok(None)
        }
    }
}

/// Hands over what is trained here, store by store.
pub(super) struct HandingOver {
    pub(super) bucket: Bucket,
    pub(super) host: Arc<Host>,
    pub(super) trained: Arc<Trained>,
    pub(super) notes: Notes,
    pub(super) every: Duration,
    pub(super) keep: Duration,
}

impl HandingOver {
    /// Hands models over as long as it is polled.
    pub(super) async fn run(self) {
        let this = Arc::new(self);
        let mut stores = JoinSet::new();
        let mut served = BTreeSet::new();
        loop {
            for store in this.host.list().into_iter().filter_map(|listed| listed.store.ok()) {
                let key = (store.name.clone(), store.settings().created_ms);
                if let Some(models) = served.insert(key).then(|| store.engine.handed_models()) {
                    stores.spawn(this.clone().of_store(store, models));
                }
            }
            while stores.try_join_next().is_some() {}
            tokio::time::sleep(this.every).await;
        }
    }

    async fn of_store(
        self: Arc<Self>,
        store: Arc<Hosted>,
        models: Option<mpsc::Receiver<HandedModel>>,
    ) {
        let Some(mut models) = models else { return };
        let (name, created_ms) = (store.name.clone(), store.settings().created_ms);
        drop(store);
        while let Some(handed) = models.recv().await {
            let outcome = self.hand_over(&name, created_ms, &handed).await;
            handed.answer(outcome);
        }
    }

    /// Uploads a model, announces it, and waits for what becomes of it, until the trainer has stopped.
    async fn hand_over(
        &self,
        name: &str,
        created_ms: i64,
        handed: &HandedModel,
    ) -> Result<Generation, Error> {
        let mut failing = Failing::new("the trained model waits");
        let model = loop {
            let place = handed.place.clone();
            let open = move || {
                StoredModel::open(&place.0, place.1).map_err(|error| Error::Storage(error.into()))
            };
            let hold = |piece| {
                self.trained.uploading.lock().entry(name.to_owned()).or_default().push(piece);
            };
            let keeping = (self.keep, hold);
            let uploaded =
                upload_models::upload(&self.bucket, open, &handed.checksum, keeping).await;
            match uploaded {
                Ok(model) => break model,
                Err(error) => failing.again(name, error.to_string()),
            }
            if handed.is_abandoned() {
                return Err(Error::ShuttingDown);
            }
            tokio::time::sleep(self.every).await;
        };
        failing.ended(name);

        let id = uuid::Uuid::now_v7().to_string();
        let position = &handed.position;
        let note = TrainedNote {
            id: id.clone(),
            created_ms,
            offset: position.offset,
            writer: position.writer.clone(),
            key: position.key.clone(),
            after: handed.after,
            model,
        };
        self.trained.models.lock().insert(name.to_owned(), note);
        self.trained.uploading.lock().remove(name);
        let outcome = self.outcome(name, &id, handed).await;
        self.trained.models.lock().remove(name);
        outcome
    }

    async fn outcome(
        &self,
        name: &str,
        id: &str,
        handed: &HandedModel,
    ) -> Result<Generation, Error> {
        let mut notes = self.notes.clone();
        loop {
            let seen = notes.borrow_and_update().clone();
            let adopted = seen.and_then(|seen| seen.note.stores.get(name)?.adopted.clone());
            match adopted {
                Some(Adopted { id: of, outcome }) if of == id => {
                    return outcome.map_err(|why| Error::Training(why.into()));
                }
                _ if handed.is_abandoned() => return Err(Error::ShuttingDown),
                _ if self.trained.is_elsewhere.load(Ordering::Acquire) => {
                    return Err(Error::Training("another server trains by now".into()));
                }
                _ => {}
            }
            // The server that writes may be away: the model waits for it.
            let _ = tokio::time::timeout(self.every, notes.changed()).await;
        }
    }
}
