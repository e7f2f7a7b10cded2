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

/// The folder of the stores, without which a folder is no data folder.
const STORES: &str = "stores";

/// Restores the backup at `from` into the data folder `data`, which must be new or empty: in a folder
/// of backups the one named `at`, without a name the newest. Its stores appear once everything is on
/// disk and matches its checksums.
///
/// # Errors
/// [`BackupError`] where the backup is damaged, or the disk fails; `data` is as before then.
pub fn restore(from: &Path, data: &Path, at: Option<&str>) -> Result<Manifest, BackupError> {
    let form = Form::found(from)?;
    if form == Form::Archive && at.is_some() {
        return Err(BackupError::refused(from, "a single file holds one backup; leave out --at"));
    }
    let is_new = !data.exists();
    check_empty(data)?;
    files::create_folder(data).map_err(BackupError::io("create", data))?;

    let restored = restore_into(from, data, form, at);
    if restored.is_err() && is_new {
        // It was created above, and is empty again.
        let _ = fs::remove_dir(data);
    }
    restored
}

/// Restores within the data folder, which may be a disk of its own, and moves everything into its
/// place, the stores last.
fn restore_into(
    from: &Path,
    data: &Path,
    form: Form,
    at: Option<&str>,
) -> Result<Manifest, BackupError> {
    let aside = tempfile::Builder::new().prefix(".restoring-").tempdir_in(data);
    let aside = aside.map_err(BackupError::io("create a folder in", data))?;
    let place = aside.path();
    let manifest = match form {
        Form::Repository => from_repository(from, place, at)?,
        Form::Archive => archive::read(from, &mut |path, content| write(place, path, content))?,
    };

    sync_folders(place)?;
    let mut names = files::names(place).map_err(BackupError::io("list", place))?;
    names.sort_by_key(|name| name == STORES);
    for name in names {
        let to = data.join(&name);
        fs::rename(place.join(&name), &to).map_err(BackupError::io("rename to", &to))?;
    }
    files::sync_folder(data).map_err(BackupError::io("flush", data))?;
    files::make_private(data).map_err(BackupError::io("make private", data))?;
    Ok(manifest)
}

fn check_empty(data: &Path) -> Result<(), BackupError> {
    if !data.exists() {
        return Ok(());
    }
    let mut names = files::names(data).map_err(BackupError::io("list", data))?;
    // A disk of its own has one.
    names.retain(|name| name != "lost+found");
    match names.first() {
        None => Ok(()),
        Some(name) => {
            let what = format!(
                "the data folder is not empty, it holds {name}; restore into another, or move it \
                 away first"
            );
            Err(BackupError::refused(data, what))
        }
    }
}

fn from_repository(from: &Path, to: &Path, at: Option<&str>) -> Result<Manifest, BackupError> {
    let repository = Repository::read(from)?;
    let manifest = repository.find(at)?;
    for file in &manifest.files {
        let mut content = Hashing::new(repository.get(file)?);
        write(to, &file.path, &mut content)?;
        repository.compare(file, &content)?;
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
