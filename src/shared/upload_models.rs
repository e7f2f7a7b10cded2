//! Uploads models: each once, in pieces, so that one that was cut off goes on with what is missing; then the
//! roles that name them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::board::{Board, Kind};
use super::notes::{ModelNote, ModelsNote};
use crate::domain::{BoxError, Error, Generation};
use crate::engine::replication::Standing;
use crate::engine::wait_for;
use crate::host::Hosted;
use crate::model::copied::StoredModel;
use crate::objects::{Bucket, Piece};
use crate::telemetry::Failing;

/// Bytes of a piece.
const PIECE_BYTES: usize = 16 << 20;

/// Uploads a model's files; returns where they are. `keep`: for how long pieces stay that nothing refers to; `hold`
/// keeps a piece until the model is announced.
pub(super) async fn upload(
    bucket: &Bucket,
    open: impl FnOnce() -> Result<StoredModel, Error> + Send + 'static,
    checksum: &str,
    (keep, hold): (Duration, impl Fn(Piece)),
) -> Result<ModelNote, BoxError> {
    let now_ms = bucket.now_ms().await?;
    let mut model = wait_for(open).await?;
    let manifest = std::mem::take(&mut model.manifest);
    hold(Piece::of(&manifest));
    let manifest = bucket.put_piece_once(manifest, keep, now_ms).await?;

    let mut arrays: Vec<Piece> = Vec::new();
    loop {
        let _turn = bucket.turn().await;
        let (rest, bytes) = wait_for(move || {
            let bytes = model.read(PIECE_BYTES);
            Ok((model, bytes.map_err(|error| Error::Storage(error.into()))?))
        })
        .await?;
        model = rest;
        if bytes.is_empty() {
            return Ok(ModelNote { checksum: checksum.to_owned(), manifest, arrays });
        }
        hold(Piece::of(&bytes));
        arrays.push(bucket.put_piece_once(bytes, keep, now_ms).await?);
    }
}

/// Uploads the models of one store.
pub(super) struct ModelUpload {
    pub(super) bucket: Bucket,
    pub(super) board: Arc<Board>,
    pub(super) store: Arc<Hosted>,
    pub(super) every: Duration,
    pub(super) keep: Duration,
}

impl ModelUpload {
    /// Uploads what is new, again and again, until the store closes.
    pub(super) async fn run(self) {
        let mut failing = Failing::new("the models are not uploaded");
        let engine = self.store.engine.clone();
        let work = async {
            let mut uploaded = None;
            loop {
                match self.upload(&mut uploaded).await {
                    Ok(()) => failing.ended(&self.store.name),
                    Err(error) => failing.again(&self.store.name, error.to_string()),
                }
                tokio::time::sleep(self.every).await;
            }
        };
        engine.unless_closing(work).await;
    }

    /// Uploads the models where they are others than those that are `uploaded`.
    async fn upload(&self, uploaded: &mut Option<Standing>) -> Result<(), BoxError> {
        let source = self.store.engine.source();
        let standing = wait_for(move || source.standing(0)).await?;
        let is_same =
            |before: &Standing| before.roles == standing.roles && before.models == standing.models;
        if uploaded.as_ref().is_some_and(is_same) {
            return Ok(());
        }

        let before = self.announced().await?;
        let known: HashMap<String, ModelNote> =
            before.models.into_iter().map(|model| (model.checksum.clone(), model)).collect();
        let mut note = ModelsNote { roles: standing.roles.clone(), models: Vec::new() };
        for manifest in &standing.models {
            let model = match known.get(&manifest.checksum) {
                Some(known) => known.clone(),
                None => self.put(manifest.generation, &manifest.checksum).await?,
            };
            note.models.push(model);
        }
        let piece = self.bucket.put_piece(serde_json::to_vec(&note)?).await?;
        self.board.set_models(&self.store, piece);
        *uploaded = Some(standing);
        Ok(())
    }

    /// The models that are announced already.
    async fn announced(&self) -> Result<ModelsNote, BoxError> {
        let models = self.board.of(&self.store).models;
        let Some(piece) = models else { return Ok(ModelsNote::default()) };
        match self.bucket.get_piece(&piece).await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.is_loss() => {
                tracing::warn!(%error, "the models are uploaded anew");
                Ok(ModelsNote::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn put(&self, generation: Generation, checksum: &str) -> Result<ModelNote, BoxError> {
        let started = Instant::now();
        let source = self.store.engine.source();
        let open = move || source.model(generation);
        let hold = |piece| self.board.hold(&self.store, Kind::Models, piece);
        let model = upload(&self.bucket, open, checksum, (self.keep, hold)).await?;
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(store = self.store.name, generation, seconds, "model uploaded");
        Ok(model)
    }
}
