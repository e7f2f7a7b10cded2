//! What a data folder consists of: the files of a backup, opened as of one moment. Locks and what is
//! half written are no part of it.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{Cursor, ErrorKind, Read};
use std::path::Path;

use super::BackupError;
use super::manifest::{Stamp, StoreInBackup};
use crate::model::frozen::FrozenSnapshots;
use crate::store::folder::{self, StoreFolder};
use crate::store::priority::Pace;
use crate::store::{FrozenLog, files};

/// The file with the id of a data folder.
const ID: &str = "ID";

/// A file of a backup.
pub(super) struct Piece {
    /// Its path below the data folder, with slashes.
    pub(super) path: String,
    /// Its size.
    pub(super) bytes: u64,
    /// The state of the file; none where it is written anew.
    pub(super) stamp: Option<Stamp>,
    content: Content,
}

enum Content {
    Open(File),
    Small(Vec<u8>),
}

impl Piece {
    fn small(path: String, bytes: Vec<u8>) -> Self {
        Self { path, bytes: bytes.len() as u64, stamp: None, content: Content::Small(bytes) }
    }

    fn open(path: String, file: File, metadata: &Metadata, bytes: u64) -> Self {
        Self { path, bytes, stamp: Stamp::of(metadata), content: Content::Open(file) }
    }

    /// Its content.
    pub(super) fn reader(self) -> Box<dyn Read> {
        match self.content {
            Content::Open(file) => Box::new(file.take(self.bytes)),
            Content::Small(bytes) => Box::new(Cursor::new(bytes)),
        }
    }
}

/// The names of the stores in a data folder, which has one.
pub(super) fn store_names(data: &Path) -> Result<Vec<String>, BackupError> {
    let names = folder::store_names(data)?;
    if names.is_empty() {
        return Err(BackupError::refused(data, "it is no data folder: it holds no store"));
    }
    Ok(names)
}

/// The id of a data folder, which its first backup gives it and a restored one keeps; empty where it
/// cannot be written.
pub(super) fn id(data: &Path) -> Result<String, BackupError> {
    let path = data.join(ID);
    let known = files::read_if_there(&path).map_err(BackupError::io("read", &path))?;
    if let Some(known) = known {
        return Ok(String::from_utf8_lossy(&known).trim().to_owned());
    }

    let id = uuid::Uuid::now_v7().to_string();
    if let Err(error) = files::replace(&path, format!("{id}\n").as_bytes()) {
        tracing::warn!(%error, "the data folder has no id: its backups are not told from others");
        return Ok(String::new());
    }
    Ok(id)
}

/// The files of a data folder that belong to no store: API keys and the audit log.
pub(super) fn of_none(data: &Path) -> Result<Vec<Piece>, BackupError> {
    let mut pieces = Vec::new();
    for path in [ID, "KEYED", "access/KEYS", "access/USED"] {
        let place = data.join(path);
        let bytes = files::read_if_there(&place).map_err(BackupError::io("read", &place))?;
        pieces.extend(bytes.map(|bytes| Piece::small(path.to_owned(), bytes)));
    }
    audit(data, &mut pieces)?;
    Ok(pieces)
}

/// The files of one store as of one offset of its log. `known`: whether a file in this state, by its
/// path, was found whole before.
pub(super) fn of_store(
    data: &Path,
    name: &str,
    known: &dyn Fn(&str, &Metadata) -> bool,
    pace: &Pace,
) -> Result<(Vec<Piece>, StoreInBackup), BackupError> {
    let mut pieces = Vec::new();
    let root = data.join("stores").join(name);
    let folder = StoreFolder::beside(data, name)?;
    if !folder.is_proven() {
        let what = "it is of an earlier version: open it once with this version first";
        return Err(BackupError::refused(&root, what));
    }

    // Before the log: a model never knows more than the log that is on disk.
    let in_snapshots = |file: &str| format!("stores/{name}/snapshots/{file}");
    let is_known = |file: &str, metadata: &Metadata| known(&in_snapshots(file), metadata);
    let snapshots = FrozenSnapshots::of(&folder.snapshots(), &is_known, pace)?;
    let models = snapshots.files.len() / 2;
    for (path, file) in snapshots.files {
        let path = in_snapshots(&path);
        let metadata = file.metadata().map_err(BackupError::io("stat", Path::new(&path)))?;
        let bytes = metadata.len();
        pieces.push(Piece::open(path, file, &metadata, bytes));
    }
    let small = snapshots.small.into_iter();
    pieces.extend(small.map(|(of, bytes)| Piece::small(in_snapshots(of), bytes)));

    let in_log = |file: &str| format!("stores/{name}/log/{file}");
    let is_known = |file: &str, metadata: &Metadata| known(&in_log(file), metadata);
    let log = FrozenLog::of(&folder.log(), &is_known, pace)?;
    let segments = log.segments.len();
    for segment in log.segments {
        let path = in_log(&segment.name);
        pieces.push(Piece::open(path, segment.file, &segment.metadata, segment.bytes));
    }
    pieces.extend(log.small.into_iter().map(|(of, bytes)| Piece::small(in_log(of), bytes)));

    for file in ["FORMAT", "STORE"] {
        let place = root.join(file);
        let bytes = files::read_if_there(&place).map_err(BackupError::io("read", &place))?;
        pieces.extend(bytes.map(|bytes| Piece::small(format!("stores/{name}/{file}"), bytes)));
    }
    let store = StoreInBackup { name: name.to_owned(), offset: log.offset, segments, models };
    Ok((pieces, store))
}

/// Adds the files of the audit log.
fn audit(data: &Path, pieces: &mut Vec<Piece>) -> Result<(), BackupError> {
    let folder = data.join("audit");
    if !folder.exists() {
        return Ok(());
    }

    let mut seen = HashSet::new();
    let mut add = |name: &str| -> Result<(), BackupError> {
        let place = folder.join(name);
        let file = match File::open(&place) {
            // Removed as the oldest, or not begun.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(BackupError::io("open", &place))?,
        };
        let metadata = file.metadata().map_err(BackupError::io("stat", &place))?;
        if seen.insert(Stamp::of(&metadata)) {
            let bytes = metadata.len();
            pieces.push(Piece::open(format!("audit/{name}"), file, &metadata, bytes));
        }
        Ok(())
    };

    // The current file first: it may be renamed before the others are listed, and is in both then.
    add("audit.jsonl")?;
    let names = files::names(&folder).map_err(BackupError::io("list", &folder))?;
    let is_other = |name: &&String| name.ends_with(".jsonl") && *name != "audit.jsonl";
    names.iter().filter(is_other).try_for_each(|name| add(name))
}
