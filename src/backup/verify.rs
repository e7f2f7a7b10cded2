//! Reads everything of a backup, or the logs and models of a data folder, and compares it with its
//! checksums.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::form::Form;
use super::hashing::Hashing;
use super::repository::Repository;
use super::{BackupError, archive};
use crate::model::frozen;
use crate::store::FrozenLog;
use crate::store::folder::{StoreFolder, store_names};
use crate::store::priority::Pace;

/// What was read and is whole.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Backups; 0 for a data folder.
    pub backups: usize,
    /// Stores of the data folder, or of the newest backup.
    pub stores: usize,
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Verifies the backup or the data folder at `path`. A server may have the data folder open.
///
/// # Errors
/// [`BackupError`] with the first file that is not what was written.
pub fn verify(path: &Path) -> Result<Verified, BackupError> {
    match Form::of(path) {
        Some(Form::Repository) => verify_repository(path),
        Some(Form::Archive) => verify_archive(path),
        None if path.join("stores").is_dir() => verify_data(path),
        None => Form::found(path).map(|_| Verified::default()),
    }
}

fn verify_repository(path: &Path) -> Result<Verified, BackupError> {
    let repository = Repository::read(path)?;
    let mut verified = Verified::default();
    let mut seen = HashSet::new();

    for name in repository.names()? {
        let manifest = repository.manifest(&name)?;
        verified.backups += 1;
        verified.stores = manifest.stores.len();
        for file in &manifest.files {
            if !seen.insert(file.blake3.clone()) {
                continue;
            }

            let mut content = Hashing::new(repository.get(file)?);
            io::copy(&mut content, &mut io::sink()).map_err(BackupError::io("read", path))?;
            repository.compare(file, &content)?;
            verified.files += 1;
            verified.bytes += content.bytes;
        }
    }
    if verified.backups == 0 {
        return Err(BackupError::refused(path, "it holds no backup"));
    }
    Ok(verified)
}

fn verify_archive(path: &Path) -> Result<Verified, BackupError> {
    let manifest = archive::read(path, &mut |_, content| {
        io::copy(content, &mut io::sink()).map(drop).map_err(BackupError::io("read", path))
    })?;
    let bytes = manifest.total_bytes();
    Ok(Verified { backups: 1, stores: manifest.stores.len(), files: manifest.files.len(), bytes })
}

/// Reads the log and the models of every store.
fn verify_data(data: &Path) -> Result<Verified, BackupError> {
    let mut verified = Verified::default();
    for name in store_names(data)? {
        let folder = StoreFolder::beside(data, &name)?;
        let log = FrozenLog::of(&folder.log(), &|_, _| false, &Pace::fast())?;
        verified.files += log.segments.len();
        verified.bytes += log.segments.iter().map(|segment| segment.bytes).sum::<u64>();
        let (models, bytes) = frozen::verify(&folder.snapshots())?;
        verified.files += models;
        verified.bytes += bytes;
        verified.stores += 1;
    }
    Ok(verified)
}
