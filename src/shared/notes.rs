//! What servers write for each other into the object store.
//!
//! ```text
//! WRITER      who writes: its address, and for each store where its log and its models are; once a second
//! TRAINER     who trains, and what it has trained
//! objects/    pieces: what the two refer to, and what that refers to
//! ```
//! The two are leases (see [`crate::objects::seat`]); everything else is a piece that never changes. So what is
//! read is whole, and of one moment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{BoxError, Generation, Offset};
use crate::host::{StoreSettings, Tombstone};
use crate::model::Roles;
use crate::objects::{Piece, Seat, Seated};
use crate::store::Writers;

/// The format of what is written. A server reads its own and earlier ones.
pub(super) const FORMAT: u32 = 1;

/// WRITER: what the server that writes announces.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct WriterNote {
    /// Its format.
    pub(super) format: u32,
    /// The server's version.
    pub(super) version: String,
    pub(super) seat: Seat,
    /// The address at which other servers reach it; empty where it names none.
    pub(super) address: String,
    /// The piece with a [`ServerNote`].
    pub(super) server: Option<Piece>,
    /// The stores by their names.
    pub(super) stores: BTreeMap<String, StoreNote>,
}

/// Where a store is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoreNote {
    /// Time of its creation, which distinguishes it from others of the name.
    pub(super) created_ms: i64,
    /// Everything acknowledged when this was put together lies before this offset.
    pub(super) end: Offset,
    /// The writer of the last record before that.
    pub(super) writer: Option<String>,
    /// Whether everything that was here when the upload began is uploaded.
    pub(super) is_whole: bool,
    /// The piece with a [`LogNote`].
    pub(super) log: Option<Piece>,
    /// The end of that log.
    pub(super) uploaded: Offset,
    /// The piece with a [`ModelsNote`].
    pub(super) models: Option<Piece>,
    /// The outcome of the model that was trained elsewhere last.
    pub(super) adopted: Option<Adopted>,
}

/// The outcome of a model that was trained elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Adopted {
    /// [`TrainedNote::id`].
    pub(super) id: String,
    /// The generation that it was published as, or why it was not.
    pub(super) outcome: Result<Generation, String>,
}

/// The keys and the stores of the server that writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ServerNote {
    /// The API keys, as hashes: a JSON list.
    pub(super) keys: String,
    /// The stores with their settings.
    pub(super) stores: Vec<(String, StoreSettings)>,
    /// The stores that were deleted.
    pub(super) deleted: Vec<Tombstone>,
}

/// A log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogNote {
    /// Format of the data folder.
    pub(super) format: u32,
    /// Fingerprint of the key for pseudonyms; none without one.
    pub(super) key: Option<String>,
    /// Who wrote it.
    pub(super) writers: Writers,
    /// Its parts, each from where the one before ends, the first from offset 0.
    pub(super) segments: Vec<SegmentNote>,
}

impl LogNote {
    /// The end of the log.
    pub(super) fn end(&self) -> Offset {
        self.segments.last().map_or(0, |segment| segment.end)
    }
}

/// A part of a log: whole blocks as they are on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentNote {
    /// Offset of its first record.
    pub(super) begins: Offset,
    /// Offset behind its last record.
    pub(super) end: Offset,
    /// Its bytes.
    pub(super) bytes: u64,
    /// Its content.
    pub(super) piece: Piece,
}

/// The models of a store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ModelsNote {
    /// Their roles.
    pub(super) roles: Roles,
    /// The models, newest first.
    pub(super) models: Vec<ModelNote>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ModelNote {
    /// The checksum in its manifest.
    pub(super) checksum: String,
    /// Its manifest, as on disk.
    pub(super) manifest: Piece,
    /// Its arrays, in pieces that follow each other.
    pub(super) arrays: Vec<Piece>,
}

impl ModelNote {
    /// What it consists of.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        std::iter::once(&self.manifest).chain(&self.arrays)
    }
}

/// TRAINER: who trains.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TrainerNote {
    /// Its format.
    pub(super) format: u32,
    pub(super) seat: Seat,
    /// What was trained last, by the names of the stores.
    pub(super) trained: BTreeMap<String, TrainedNote>,
    /// What is uploaded of models that are not complete yet, by the names of their stores.
    pub(super) uploading: BTreeMap<String, Vec<Piece>>,
}

/// A model that waits for the server that writes to publish it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TrainedNote {
    /// Its name, which no other has: a UUID.
    pub(super) id: String,
    /// Time of its store's creation.
    pub(super) created_ms: i64,
    /// Where the trainer's copy of the log stood when the model was handed over.
    pub(super) offset: Offset,
    /// The writer of the last record before it.
    pub(super) writer: Option<String>,
    /// Fingerprint of the key for pseudonyms.
    pub(super) key: Option<String>,
    /// The generation that must still be active; none: any.
    pub(super) after: Option<Generation>,
    /// The model.
    pub(super) model: ModelNote,
}

impl Seated for WriterNote {
    const NAME: &'static str = "WRITER";

    fn seat(&mut self) -> &mut Seat {
        &mut self.seat
    }
}

impl Seated for TrainerNote {
    const NAME: &'static str = "TRAINER";

    fn seat(&mut self) -> &mut Seat {
        &mut self.seat
    }
}

/// Refuses a note of a newer version.
pub(super) fn check_format(note: &WriterNote) -> Result<(), BoxError> {
    if note.format <= FORMAT {
        return Ok(());
    }
    let message = format!(
        "the object store was written by version {}, in format {}; this version reads formats up to {FORMAT}",
        note.version, note.format
    );
    Err(message.into())
}
