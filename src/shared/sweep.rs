//! Removes what nothing refers to any more.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::board::Board;
use super::notes::{LogNote, ModelsNote, TrainerNote, WriterNote};
use crate::domain::BoxError;
use crate::objects::{Bucket, ObjectError, Piece, Seated};
use crate::store::sealed;
use crate::telemetry::Failing;

/// Sweeps again and again, on the server that writes. Pieces stay for `keep` at least.
pub(super) async fn run(bucket: Bucket, board: Arc<Board>, keep: Duration) {
    let mut failing = Failing::new("objects that are not needed stay");
    loop {
        tokio::time::sleep(keep / 4).await;
        match sweep(&bucket, &board, keep).await {
            Ok(0) => failing.ended(""),
            Ok(objects) => {
                failing.ended("");
                tracing::debug!(objects, "the object store is swept");
            }
            Err(error) => failing.again("", error.to_string()),
        }
    }
}

/// Removes pieces that nothing refers to and that are old enough; returns their number.
async fn sweep(bucket: &Bucket, board: &Board, keep: Duration) -> Result<usize, BoxError> {
    // First the time: what is written from now on is young.
    let now_ms = bucket.now_ms().await?;
    let mut kept: HashSet<Piece> = board.held().into_iter().collect();
    // What others read now, and what is announced next.
    let written: Option<WriterNote> = read(bucket).await?;
    for note in written.into_iter().chain([board.note()]) {
        keep_stores(bucket, note, &mut kept).await?;
    }
    let trainer: Option<TrainerNote> = read(bucket).await?;
    if let Some(note) = trainer {
        kept.extend(note.uploading.into_values().flatten());
        for trained in note.trained.into_values() {
            kept.extend(trained.model.pieces().cloned());
        }
    }
    Ok(bucket.sweep_pieces(&kept, keep, now_ms).await?)
}

async fn read<N: Seated>(bucket: &Bucket) -> Result<Option<N>, BoxError> {
    let Some(found) = bucket.get(N::NAME).await? else { return Ok(None) };
    let read = sealed::unseal_strictly(&found.bytes);
    Ok(Some(read.map_err(|what| ObjectError::damaged(N::NAME, what))?))
}

/// Keeps what a note refers to.
async fn keep_stores(
    bucket: &Bucket,
    note: WriterNote,
    kept: &mut HashSet<Piece>,
) -> Result<(), BoxError> {
    kept.extend(note.server);
    for store in note.stores.into_values() {
        if let Some(piece) = store.log {
            let log: LogNote = serde_json::from_slice(&bucket.get_piece(&piece).await?)?;
            kept.extend(log.segments.into_iter().map(|segment| segment.piece));
            kept.insert(piece);
        }
        if let Some(piece) = store.models {
            let models: ModelsNote = serde_json::from_slice(&bucket.get_piece(&piece).await?)?;
            kept.extend(models.models.iter().flat_map(|model| model.pieces().cloned()));
            kept.insert(piece);
        }
    }
    Ok(())
}
