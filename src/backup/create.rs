//! Makes a backup.

use std::path::Path;

use super::BackupError;
use super::archive::Archive;
use super::form::Form;
use super::manifest::{FORMAT, FileInBackup, Manifest, StoreInBackup};
use super::pieces::{self, Piece};
use super::repository::Repository;
use crate::domain::now_ms;
use crate::store::BackedUp;
use crate::telemetry::version;

/// A backup that was made.
#[derive(Debug)]
pub struct Created {
    /// What it holds.
    pub manifest: Manifest,
    /// Its name in a folder of backups; empty for a single file.
    pub name: String,
    /// Bytes that were copied: the rest was in the folder already.
    pub copied: u64,
}

/// Backs up the data folder `data` to `to`: a folder of backups, of which the newest `keep` stay, or
/// a new file NAME.tar.zst. A server may have the data folder open.
///
/// # Errors
/// [`BackupError`] where `data` cannot be read or is damaged, or `to` cannot be written. The backups
/// before stay as they are.
pub fn create(data: &Path, to: &Path, keep: usize) -> Result<Created, BackupError> {
    pieces::check(data)?;
    let created = match Form::of_new(to) {
        Form::Repository => into_repository(data, to, keep)?,
        Form::Archive => into_archive(data, to)?,
    };

    let at_ms = created.manifest.created_ms;
    for store in &created.manifest.stores {
        let note = BackedUp { at_ms, offset: store.offset };
        if let Err(error) = note.write(&data.join("stores").join(&store.name)) {
            tracing::warn!(%error, "the server cannot show when this backup was made");
        }
    }
    Ok(created)
}

fn into_repository(data: &Path, to: &Path, keep: usize) -> Result<Created, BackupError> {
    let repository = Repository::open(to)?;
    let created_ms = now_ms();
    let known = |path: &str, metadata: &_| repository.knows(path, metadata);
    let (pieces, stores) = pieces::of(data, &known)?;
    let mut copied = 0;
    let mut put = |piece: Piece| {
        let (file, bytes) = repository.put(piece)?;
        copied += bytes;
        Ok(file)
    };
    let files: Result<Vec<FileInBackup>, BackupError> = pieces.into_iter().map(&mut put).collect();
    let manifest = manifest(created_ms, stores, files?);
    let name = repository.finish(&manifest, keep)?;
    Ok(Created { manifest, name, copied })
}

fn into_archive(data: &Path, to: &Path) -> Result<Created, BackupError> {
    let mut archive = Archive::begin(to)?;
    let created_ms = now_ms();
    let (pieces, stores) = pieces::of(data, &|_, _| false)?;
    let files: Result<Vec<_>, _> = pieces.into_iter().map(|piece| archive.put(piece)).collect();
    let manifest = manifest(created_ms, stores, files?);
    archive.finish(&manifest)?;
    let copied = manifest.total_bytes();
    Ok(Created { manifest, name: String::new(), copied })
}

fn manifest(created_ms: i64, stores: Vec<StoreInBackup>, files: Vec<FileInBackup>) -> Manifest {
    Manifest { format: FORMAT, version: version::LINE.to_owned(), created_ms, stores, files }
}
