//! Whether a server has everything that was announced: only then may it write.

use std::path::Path;

use super::notes::{LogNote, WriterNote};
use crate::domain::BoxError;
use crate::engine::DEFAULT_STORE;
use crate::host::{self, Host};
use crate::objects::{Bucket, Piece};
use crate::store::{Writers, mark};

/// Whether the folder holds all that was uploaded, as far as its small files say.
pub(super) async fn on_disk(
    bucket: &Bucket,
    data: &Path,
    note: &WriterNote,
) -> Result<bool, BoxError> {
    let remembered = host::remembered(data)?;
    if note.server.as_ref().map(Piece::checksum) != remembered.as_deref() {
        return Ok(false);
    }

    for (name, of_store) in &note.stores {
        let created_ms = host::created_ms(data, name)?.unwrap_or_default();
        if name != DEFAULT_STORE && created_ms != of_store.created_ms {
            return Ok(false);
        }
        let folder = data.join("stores").join(name).join("log");
        let log = log(bucket, of_store.log.as_ref()).await?;
        let end = mark::read(&folder)?.map_or(0, |mark| mark.offset);
        let writers = Writers::read(&folder)?;
        if !writers.hold(log.writers.of(log.end()), log.end(), end) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the open stores hold all that was uploaded.
pub(super) async fn open(
    bucket: &Bucket,
    host: &Host,
    note: &WriterNote,
) -> Result<bool, BoxError> {
    for (name, of_store) in &note.stores {
        let log = log(bucket, of_store.log.as_ref()).await?;
        let Ok(store) = host.store(name) else { return Ok(false) };
        let is_it = name == DEFAULT_STORE || store.settings().created_ms == of_store.created_ms;
        let source = store.engine.source();
        if !is_it || !source.holds(log.writers.of(log.end()), log.end()) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn log(bucket: &Bucket, piece: Option<&Piece>) -> Result<LogNote, BoxError> {
    let Some(piece) = piece else { return Ok(LogNote::default()) };
    Ok(serde_json::from_slice(&bucket.get_piece(piece).await?)?)
}
