//! Makes a backup.

use std::fs::Metadata;
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
    let names = pieces::store_names(data)?;
    let created = match Form::of_new(to) {
        Form::Repository => into_repository(data, &names, to, keep)?,
        Form::Archive => into_archive(data, &names, to)?,
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

fn into_repository(
    data: &Path,
    names: &[String],
    to: &Path,
    keep: usize,
) -> Result<Created, BackupError> {
    let repository = Repository::open(to)?;
    let created_ms = repository.time();
    let known = |path: &str, metadata: &Metadata| repository.knows(path, metadata);
    let mut copied = 0;
    let (stores, files) = copy(data, names, &known, &mut |piece| {
        let (file, bytes) = repository.put(piece)?;
        copied += bytes;
        Ok(file)
    })?;

    let manifest = manifest(created_ms, stores, files);
    let name = repository.finish(&manifest, keep)?;
    Ok(Created { manifest, name, copied })
}

fn into_archive(data: &Path, names: &[String], to: &Path) -> Result<Created, BackupError> {
    let mut archive = Archive::begin(to)?;
    let created_ms = now_ms();
    let (stores, files) = copy(data, names, &|_, _| false, &mut |piece| archive.put(piece))?;
    let manifest = manifest(created_ms, stores, files);
    archive.finish(&manifest)?;
    let copied = manifest.total_bytes();
    Ok(Created { manifest, name: String::new(), copied })
}

/// Passes every file of a data folder to `put`, a store at a time, so that few files are open.
fn copy(
    data: &Path,
    names: &[String],
    known: &dyn Fn(&str, &Metadata) -> bool,
    put: &mut dyn FnMut(Piece) -> Result<FileInBackup, BackupError>,
) -> Result<(Vec<StoreInBackup>, Vec<FileInBackup>), BackupError> {
    let (mut stores, mut files) = (Vec::new(), Vec::new());
    for name in names {
        match pieces::of_store(data, name, known) {
            // Deleted since the folder was listed.
            Err(_) if !data.join("stores").join(name).exists() => {}
            frozen => {
                let (pieces, store) = frozen?;
                stores.push(store);
                for piece in pieces {
                    files.push(put(piece)?);
                }
            }
        }
    }

    for piece in pieces::of_none(data)? {
        files.push(put(piece)?);
    }
    Ok((stores, files))
}

fn manifest(created_ms: i64, stores: Vec<StoreInBackup>, files: Vec<FileInBackup>) -> Manifest {
    Manifest { format: FORMAT, version: version::LINE.to_owned(), created_ms, stores, files }
}
