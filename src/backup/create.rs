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
use crate::store::priority::Pace;
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
/// a new file NAME.tar.zst. A server may have the data folder open; `pace` says how much the backup
/// takes from it.
///
/// # Errors
/// [`BackupError`] where `data` cannot be read or is damaged, or `to` cannot be written. The backups
/// before stay as they are.
pub fn create(data: &Path, to: &Path, keep: usize, pace: &Pace) -> Result<Created, BackupError> {
    let names = pieces::store_names(data)?;
    check_outside(data, to)?;
    let data_id = pieces::id(data)?;
    let (to, id) = (Target { to, keep }, data_id.as_str());
    let created = match Form::of_new(to.to) {
        Form::Repository => into_repository((data, &names), to, id, pace)?,
        Form::Archive => into_archive((data, &names), to.to, id, pace)?,
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

/// A folder of backups, and the number that stay.
struct Target<'p> {
    to: &'p Path,
    keep: usize,
}

/// Checks that a backup does not lie where it would be lost with the data.
fn check_outside(data: &Path, to: &Path) -> Result<(), BackupError> {
    let whole = |path: &Path| std::path::absolute(path).map_err(BackupError::io("find", path));
    if whole(to)?.starts_with(whole(data)?) {
        let what = "it lies within the data folder, and would be lost with it; name another";
        return Err(BackupError::refused(to, what));
    }
    Ok(())
}

fn into_repository(
    from: (&Path, &[String]),
    Target { to, keep }: Target<'_>,
    data_id: &str,
    pace: &Pace,
) -> Result<Created, BackupError> {
    let repository = Repository::open(to, data_id)?;
    let created_ms = repository.time();
    let known = |path: &str, metadata: &Metadata| repository.knows(path, metadata);
    let mut copied = 0;
    let (stores, files) = copy(from, &known, pace, &mut |piece| {
        let (file, bytes) = repository.put(piece, pace)?;
        copied += bytes;
        Ok(file)
    })?;

    let manifest = manifest(created_ms, data_id, (stores, files));
    let name = repository.finish(&manifest, keep)?;
    Ok(Created { manifest, name, copied })
}

fn into_archive(
    from: (&Path, &[String]),
    to: &Path,
    data_id: &str,
    pace: &Pace,
) -> Result<Created, BackupError> {
    let mut archive = Archive::begin(to)?;
    let created_ms = now_ms();
    let (stores, files) = copy(from, &|_, _| false, pace, &mut |piece| archive.put(piece, pace))?;
    let manifest = manifest(created_ms, data_id, (stores, files));
    archive.finish(&manifest)?;
    let copied = manifest.total_bytes();
    Ok(Created { manifest, name: String::new(), copied })
}

/// Passes every file of a data folder to `put`, a store at a time, so that few files are open.
fn copy(
    (data, names): (&Path, &[String]),
    known: &dyn Fn(&str, &Metadata) -> bool,
    pace: &Pace,
    put: &mut dyn FnMut(Piece) -> Result<FileInBackup, BackupError>,
) -> Result<(Vec<StoreInBackup>, Vec<FileInBackup>), BackupError> {
    let (mut stores, mut files) = (Vec::new(), Vec::new());
    for name in names {
        match pieces::of_store(data, name, known, pace) {
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

fn manifest(
    created_ms: i64,
    data_id: &str,
    (stores, files): (Vec<StoreInBackup>, Vec<FileInBackup>),
) -> Manifest {
    let (version, data_id) = (version::LINE.to_owned(), data_id.to_owned());
    Manifest { format: FORMAT, version, created_ms, data_id, stores, files }
}
