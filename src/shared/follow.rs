//! Follows the stores of the server that writes, from what it has uploaded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::look::Seen;
use super::notes::{LogNote, ModelNote, ModelsNote, SegmentNote, StoreNote};
use crate::domain::{BoxError, Error};
use crate::engine::replication::{Appending, ModelSource, Standing, copy_models, extended};
use crate::engine::{DEFAULT_STORE, Engine, Follower, wait_for};
use crate::host::Hosted;
use crate::model::Manifest;
use crate::objects::{Bucket, Piece};
use crate::store::copied::from_offset;
use crate::store::folder::FORMAT;
use crate::store::sealed;
use crate::telemetry::Failing;

/// Time that the copy gets to reach what a note names, before the next note is looked at.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is seen of the server that writes, and every change to come.
pub(super) type Notes = watch::Receiver<Option<Arc<Seen>>>;

/// Follows one store.
pub(super) struct StoreCopy {
    bucket: Bucket,
    name: String,
    created_ms: i64,
    engine: Arc<Engine>,
    follower: Arc<Follower>,
    apart: Apart,
}

/// Takes the names of stores whose copies are no part of what is followed, and will never be.
pub(super) type Apart = mpsc::UnboundedSender<String>;

/// Follows a store until it closes.
pub(super) async fn follow(bucket: Bucket, store: Arc<Hosted>, notes: Notes, apart: Apart) {
    let Some(follower) = store.engine.follower().cloned() else { return };
    // Until it is known that the copy is a part of the log, no lease holds.
    follower.note_apart(true);
    let copy = StoreCopy {
        bucket,
        name: store.name.clone(),
        created_ms: store.settings().created_ms,
        engine: store.engine.clone(),
        follower,
        apart,
    };
    drop(store);
    let closing = copy.engine.clone();
    let models = watch::Sender::new(None);
    let all = async {
        tokio::join!(
            copy.leases(notes.clone()),
            copy.log(notes.clone(), models.subscribe()),
            copy.models(notes, &models)
        )
    };
    closing.unless_closing(all).await;
}

impl StoreCopy {
    /// What a note says of this store, if it speaks of it.
    fn of(&self, seen: &Seen) -> Option<StoreNote> {
        let note = seen.note.stores.get(&self.name)?;
        // The default store has no time of creation everywhere.
        let is_it = note.created_ms == self.created_ms || self.name == DEFAULT_STORE;
        is_it.then(|| note.clone())
    }

    /// Extends the lease with every note.
    async fn leases(&self, mut notes: Notes) {
        let mut dated: Option<Instant> = None;
        while notes.changed().await.is_ok() {
            let Some(seen) = notes.borrow_and_update().clone() else { continue };
            let Some((of_store, asked)) = self.of(&seen).zip(seen.asked) else { continue };
            if self.follower.is_apart() || dated.is_some_and(|dated| asked <= dated) {
                continue;
            }
            let length = Duration::from_millis(seen.note.seat.lease_ms);
            // What was acknowledged just now is uploaded with a later note.
            if self.engine.has_reached(of_store.end, length / 2).await {
                self.follower.extend_lease(asked, length, of_store.end);
                dated = Some(asked);
            }
        }
    }

    /// Copies the log whenever there is more of it, once it is known which models there are.
    async fn log(&self, mut notes: Notes, mut models: watch::Receiver<Option<Standing>>) {
        let _ = models.wait_for(Option::is_some).await;
        let mut failing = Failing::new("the log is not followed");
        let mut copied: Option<Piece> = None;
        loop {
            let seen = notes.borrow_and_update().clone();
            let log = seen.and_then(|seen| self.of(&seen)).and_then(|note| note.log);
            if let Some(log) = log.filter(|log| copied.as_ref() != Some(log)) {
                match self.copy_log(&log).await {
                    Ok(()) => {
                        failing.ended(&self.name);
                        copied = Some(log);
                    }
                    Err(error) => failing.again(&self.name, error.to_string()),
                }
            }
            if notes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn copy_log(&self, piece: &Piece) -> Result<(), BoxError> {
        let log = self.checked(piece).await?;
        let end = log.end();
        let follower = self.follower.clone();
        let writers = log.writers;
        wait_for(move || follower.note_writers(writers)).await?;

        let _turn = self.bucket.turn().await;
        let mut appending = Appending::to(self.follower.clone());
        let copied = self.copy_segments(&log.segments, &mut appending).await;
        // The copy goes on from where it ends, which must stand still.
        appending.finish().await?;
        copied?;
        match self.follower.position().offset {
            reached if reached >= end => Ok(()),
            reached => Err(format!("the log ends at offset {reached}, not {end}").into()),
        }
    }

    async fn copy_segments(
        &self,
        segments: &[SegmentNote],
        appending: &mut Appending,
    ) -> Result<(), BoxError> {
        let mut copying = self.follower.copying();
        let begins = copying.next();
        for segment in segments.iter().filter(|segment| segment.end > begins) {
            let bytes = self.bucket.get_piece(&segment.piece).await?;
            let (rest, blocks) = wait_for(move || {
                let new = from_offset(&bytes, copying.next());
                let blocks = new.and_then(|new| copying.extend(new));
                Ok((copying, blocks.map_err(|what| Error::Storage(what.into()))?))
            })
            .await?;
            copying = rest;
            appending.append(blocks).await?;
        }
        Ok(())
    }

    /// The log that was uploaded, of which the copy is a part.
    async fn checked(&self, piece: &Piece) -> Result<LogNote, BoxError> {
        let log: LogNote = serde_json::from_slice(&self.bucket.get_piece(piece).await?)?;
        self.check(&log)?;
        Ok(log)
    }

    /// Checks that the copy is a part of the log that was uploaded.
    fn check(&self, log: &LogNote) -> Result<(), BoxError> {
        let position = self.follower.position();
        if log.format > FORMAT {
            let message = format!(
                "the server that writes has format {}, this one reads formats up to {FORMAT}: bring followers \
                 to a newer version first, then the server that writes",
                log.format
            );
            return Err(message.into());
        }
        if log.key != position.key {
            return Err("the stores have different keys (privacy.pseudonym_key)".into());
        }
        let is_part = log.writers.hold(position.writer.as_deref(), position.offset, log.end());
        self.follower.note_apart(!is_part);
        if is_part {
            return Ok(());
        }

        let ends = format!("{} here and {} in the object store", position.offset, log.end());
        let source = self.engine.source();
        if !source.writers().have_origin_of(&log.writers) {
            // A mistyped URL must not move a shop's data.
            let message = format!(
                "the data folder holds another store {} than {}: name the object store that it belongs to, or move \
                 the store's folder away, and it is copied anew",
                self.name,
                self.bucket.url()
            );
            return Err(message.into());
        }
        if source.holds(log.writers.of(log.end()), log.end()) {
            // This server has written what is more here: it may write again.
            return Err(
                format!("the log ends at offset {ends}, and nothing of it differs yet").into()
            );
        }
        // It closes once the store is set aside.
        let _ = self.apart.send(self.name.clone());
        Err(format!("the log has gone two ways; it ends at offset {ends}").into())
    }

    /// Copies models, and gives them their roles, whenever there are others.
    async fn models(&self, mut notes: Notes, standing: &watch::Sender<Option<Standing>>) {
        let mut failing = Failing::new("the models are not followed");
        let mut copied: Option<Option<Piece>> = None;
        loop {
            let seen = notes.borrow_and_update().clone();
            let of_store = seen.and_then(|seen| self.of(&seen));
            if let Some(note) = of_store.filter(|note| copied.as_ref() != Some(&note.models)) {
                match self.copy_models(&note, standing).await {
                    Ok(is_complete) => {
                        failing.ended(&self.name);
                        copied = is_complete.then_some(note.models);
                    }
                    Err(error) => failing.again(&self.name, error.to_string()),
                }
            }
            if notes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Copies the models that are not here; returns whether all are. The models of another log would take the
    /// place of those that are here, and name other items.
    async fn copy_models(
        &self,
        of_store: &StoreNote,
        standing: &watch::Sender<Option<Standing>>,
    ) -> Result<bool, BoxError> {
        match &of_store.log {
            Some(log) => drop(self.checked(log).await?),
            None if self.follower.position().offset > 0 => {
                return Err("the log of the server that writes is not uploaded yet".into());
            }
            None => {}
        }

        let Some(piece) = &of_store.models else {
            // They are not uploaded yet: what is here stays.
            standing.send_if_modified(|standing| {
                let is_new = standing.is_none();
                standing.get_or_insert_with(Standing::default);
                is_new
            });
            return Ok(true);
        };
        let note: ModelsNote = serde_json::from_slice(&self.bucket.get_piece(piece).await?)?;
        let mut models = Vec::new();
        for model in &note.models {
            let bytes = self.bucket.get_piece(&model.manifest).await?;
            models.push(sealed::unseal::<Manifest>(&bytes)?);
        }
        let seen = Arc::new(Standing { offset: 0, roles: note.roles.clone(), models });
        self.follower.note_models(&seen);
        standing.send_replace(Some(Standing::clone(&seen)));

        let uploaded = Uploaded { copy: self, note: &note };
        copy_models(&self.follower, &seen, PATIENCE, &uploaded).await
    }

    async fn copy_model(&self, note: &ModelNote) -> Result<(), BoxError> {
        let started = Instant::now();
        let manifest = self.bucket.get_piece(&note.manifest).await?;
        let engine = self.engine.clone();
        let mut model = wait_for(move || engine.receive_model(&manifest)).await?;
        for piece in &note.arrays {
            let bytes = self.bucket.get_piece(piece).await?;
            model = wait_for(move || extended(model, &bytes)).await?;
        }
        let follower = self.follower.clone();
        let generation = wait_for(move || follower.keep_model(model)).await?;
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(store = self.name, generation, seconds, "model copied");
        Ok(())
    }
}

/// The models that were uploaded.
struct Uploaded<'a> {
    copy: &'a StoreCopy,
    note: &'a ModelsNote,
}

impl ModelSource for Uploaded<'_> {
    async fn copy_model(&self, model: &Manifest) -> Result<bool, BoxError> {
        let is_it = |note: &&ModelNote| note.checksum == model.checksum;
        let Some(note) = self.note.models.iter().find(is_it) else { return Ok(false) };
        self.copy.copy_model(note).await.map(|()| true)
    }
}
