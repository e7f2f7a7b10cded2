//! Whether a server has everything that was announced: only then may it write.
//!
//! What was uploaded last is what all go on from. As long as a server uploads what it had before, that is a part of a
//! log, or no keys yet; then only a server goes on that has everything that was acknowledged: the same one, started
//! again.

use std::path::Path;

use super::notes::{LogNote, StoreNote, WriterNote};
use crate::domain::{BoxError, Error, Offset};
use crate::engine::DEFAULT_STORE;
use crate::host::{self, Host};
use crate::objects::{Bucket, Piece};
use crate::store::{Writers, mark};

/// Where a log must have reached.
struct Needed {
    writer: Option<String>,
    end: Offset,
}

/// Whether the folder has the keys and the list of stores that are announced.
pub(super) fn server(data: &Path, note: &WriterNote) -> Result<bool, Error> {
    let announced = note.server.as_ref().map_or(&*note.seat.holder, Piece::checksum);
    host::remembers(data, announced)
}

/// Warns where the folder begins to share an object store in which no server is, and has shared one before: the URL may
/// have a slip.
pub(super) fn warn_of_beginning(bucket: &Bucket, data: &Path) -> Result<(), Error> {
    if host::remembers_any(data)? {
        let url = bucket.url();
        tracing::warn!(
            url,
            "this folder has shared an object store before, and in this one no server is yet: it begins anew"
        );
    }
    Ok(())
}

/// Whether the folder holds all that was uploaded, as far as its small files say.
pub(super) async fn on_disk(
    bucket: &Bucket,
    data: &Path,
    note: &WriterNote,
) -> Result<bool, BoxError> {
    if !server(data, note)? {
        return Ok(false);
    }

    for (name, of_store) in &note.stores {
        let created_ms = host::created_ms(data, name)?.unwrap_or_default();
        if name != DEFAULT_STORE && created_ms != of_store.created_ms {
            return Ok(false);
        }
        let folder = data.join("stores").join(name).join("log");
        let needed = needed(bucket, of_store).await?;
        let end = mark::read(&folder)?.map_or(0, |mark| mark.offset);
        let writers = Writers::read(&folder)?;
        if !writers.hold(needed.writer.as_deref(), needed.end, end) {
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
        let needed = needed(bucket, of_store).await?;
        let Ok(store) = host.store(name) else { return Ok(false) };
        let is_it = name == DEFAULT_STORE || store.settings().created_ms == of_store.created_ms;
        let source = store.engine.source();
        if !is_it || !source.holds(needed.writer.as_deref(), needed.end) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn needed(bucket: &Bucket, of_store: &StoreNote) -> Result<Needed, BoxError> {
    let Some(piece) = of_store.log.as_ref().filter(|_| of_store.is_whole) else {
        return Ok(Needed { writer: of_store.writer.clone(), end: of_store.end });
    };
    let log: LogNote = serde_json::from_slice(&bucket.get_piece(piece).await?)?;
    let end = log.end();
    Ok(Needed { writer: log.writers.of(end).map(str::to_owned), end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Seat;
    use crate::shared::notes::FORMAT;

    #[test]
    fn before_keys_are_announced_only_the_folder_that_began_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let seat =
            Seat { holder: "one".to_owned(), beat: 1, after: 0, lease_ms: 1, is_left: false };
        let (version, address, stores) = Default::default();
        let mut note = WriterNote { format: FORMAT, version, seat, address, server: None, stores };
        let has = |note: &WriterNote| server(folder.path(), note).unwrap();
        assert!(!has(&note));
        // One that was started again, and could not take the seat.
        host::remember(folder.path(), "two one").unwrap();
        assert!(has(&note));
        note.server = Some(Piece::of(b"keys"));
        assert!(!has(&note));
        host::remember(folder.path(), Piece::of(b"keys").checksum()).unwrap();
        assert!(has(&note));
    }
}
