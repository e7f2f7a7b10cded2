//! Restores a backup into a new data folder.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::form::Form;
use super::hashing::Hashing;
use super::manifest::Manifest;
use super::repository::Repository;
use super::{BackupError, archive};
use crate::store::files;

/// Restores the backup at `from` into the data folder `data`, which must be new or empty: in a folder
/// of backups the one named `at`, without a name the newest. The folder appears once everything is
/// on disk and matches its checksums.
///
/// # Errors
/// [`BackupError`] where the backup is damaged, or the disk fails; `data` is not changed then.
pub fn restore(from: &Path, data: &Path, at: Option<&str>) -> Result<Manifest, BackupError> {
    let form = Form::found(from)?;
    check_empty(data)?;
    let above = data.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new("."));
    files::create_folder(above).map_err(BackupError::io("create", above))?;
    let aside = tempfile::Builder::new().prefix(".restoring-").tempdir_in(above);
    let aside = aside.map_err(BackupError::io("create a folder in", above))?;

    let manifest = match form {
        Form::Repository => from_repository(from, aside.path(), at)?,
        Form::Archive if at.is_some() => {
            return Err(BackupError::refused(
                from,
                "a single file holds one backup; leave out --at",
            ));
        }
        Form::Archive => {
            archive::read(from, &mut |path, content| write(aside.path(), path, content))?
        }
    };

    sync_folders(aside.path())?;
    if data.exists() {
        fs::remove_dir(data).map_err(BackupError::io("replace", data))?;
    }
    let aside = aside.keep();
    files::rename_folder(&aside, data).map_err(BackupError::io("rename to", data))?;
    Ok(manifest)
}

fn check_empty(data: &Path) -> Result<(), BackupError> {
    if !data.exists() {
        return Ok(());
    }
    let names = files::names(data).map_err(BackupError::io("list", data))?;
    if names.is_empty() {
        return Ok(());
    }
    let what = "the data folder is not empty; restore into another, or move it away first";
    Err(BackupError::refused(data, what))
}

fn from_repository(from: &Path, to: &Path, at: Option<&str>) -> Result<Manifest, BackupError> {
    let repository = Repository::read(from)?;
    let manifest = repository.find(at)?;
    for file in &manifest.files {
        let mut content = Hashing::new(repository.get(file)?);
        write(to, &file.path, &mut content)?;
        if content.checksum() != file.blake3 {
            let what = format!("{} is not what was written", file.path);
            return Err(BackupError::damaged(from, what));
        }
    }
    Ok(manifest)
}

/// Writes a file of the data folder, durably.
fn write(to: &Path, path: &str, content: &mut dyn Read) -> Result<(), BackupError> {
    let place = to.join(path);
    let folder = place.parent().unwrap_or(to);
    files::create_folder(folder).map_err(BackupError::io("create", folder))?;
    let mut file = files::create(&place).map_err(BackupError::io("create", &place))?;
    io::copy(content, &mut file).map_err(BackupError::io("copy to", &place))?;
    file.sync_all().map_err(BackupError::io("flush", &place))
}

/// Flushes the names in all folders.
fn sync_folders(folder: &Path) -> Result<(), BackupError> {
    for name in files::names(folder).map_err(BackupError::io("list", folder))? {
        let path = folder.join(name);
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    files::sync_folder(folder).map_err(BackupError::io("flush", folder))
}
