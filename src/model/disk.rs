//! Snapshots on disk: `snapshots/<generation>/{manifest.json, model.safetensors}`. Written to a
//! temporary folder, flushed, renamed: a folder with a generation's name is complete. Loading
//! checks sizes and checksums all the same. A read error is an error, never absence; only what was
//! read is ever removed as superfluous.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128;

use super::{Manifest, Roles, Snapshot, tensors};
use crate::domain::Generation;
use crate::store::{files, sealed};

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const ARRAYS: &str = "model.safetensors";
/// File with the highest generation given out, where its snapshot is gone.
pub(super) const HIGHEST: &str = "HIGHEST";
/// File with the roles of generations, as [`Roles`].
pub(super) const ROLES: &str = "ROLES";
/// Ending of the folder of a snapshot that was trained on more than the log holds.
const BEYOND: &str = "beyond-the-log";

/// Why a snapshot could not be saved or loaded.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The disk fails.
    #[error("snapshot {}: {source}", path.display())]
    Io {
        /// The snapshot's folder or file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Its bytes are not what was written.
    #[error("snapshot {}: {what}", path.display())]
    Damaged {
        /// The snapshot's folder or file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl SnapshotError {
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

type Result<T> = std::result::Result<T, SnapshotError>;

pub(super) fn refused(path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    let path = path.to_owned();
    move |source| SnapshotError::Io { path, source }
}

pub(super) fn damaged<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> SnapshotError {
    let path = path.to_owned();
    move |e| SnapshotError::Damaged { path, what: e.to_string() }
}

/// Writes a snapshot, durably; fills in its size and checksum.
///
/// # Errors
/// Where the disk fails; nothing is left behind then.
pub fn save(folder: &Path, snapshot: &mut Snapshot) -> Result<()> {
    let arrays = tensors::encode(&snapshot.parts);
    snapshot.manifest.bytes = arrays.len() as u64;
    snapshot.manifest.checksum = format!("{:032x}", xxh3_128(&arrays));
    snapshot.manifest.validate().map_err(damaged(folder))?;
    let manifest = sealed::seal(&snapshot.manifest).map_err(damaged(folder))?;

    let aside = aside(folder)?;
    for (name, bytes) in [(ARRAYS, &arrays), (MANIFEST, &manifest)] {
        let path = aside.path().join(name);
        files::write(&path, bytes).map_err(refused(&path))?;
    }
    put_in_place(folder, aside, snapshot.manifest.generation)
}

/// A folder for a snapshot that is being written.
pub(super) fn aside(folder: &Path) -> Result<TempDir> {
    let aside = tempfile::Builder::new().prefix(".writing-").tempdir_in(folder);
    aside.map_err(refused(folder))
}

/// Gives a folder with a snapshot's files, which are on disk, the name of its generation.
pub(super) fn put_in_place(folder: &Path, aside: TempDir, generation: Generation) -> Result<()> {
    files::sync_folder(aside.path()).map_err(refused(aside.path()))?;
    let place = place(folder, generation);
    let aside = aside.keep();
    let renamed = fs::rename(&aside, &place).and_then(|()| files::sync_folder(folder));
    renamed.map_err(|error| {
        // Whatever was written, no folder has the generation's name.
        for left in [&aside, &place] {
            if let Err(error) = remove(left) {
                tracing::warn!(%error, "an incomplete snapshot stays on disk until the next start");
            }
        }
        refused(&place)(error)
    })
}

/// Reads one snapshot.
///
/// # Errors
/// Where it is missing, or not what was written.
pub fn load(folder: &Path, generation: Generation) -> Result<Snapshot> {
    let place = place(folder, generation);
    let manifest = read_manifest(&place)?;
    let path = place.join(ARRAYS);
    let arrays = fs::read(&path).map_err(refused(&path))?;

    if arrays.len() as u64 != manifest.bytes {
        let what = format!("{} bytes, {} were written", arrays.len(), manifest.bytes);
        return Err(SnapshotError::Damaged { path, what });
    }
    if format!("{:032x}", xxh3_128(&arrays)) != manifest.checksum {
        let what = "its bytes do not match its checksum".to_owned();
        return Err(SnapshotError::Damaged { path, what });
    }

    let parts = tensors::decode(&arrays).map_err(damaged(&path))?;
    Ok(Snapshot { manifest, parts })
}

/// Reads a snapshot; none, with a warning, where it is damaged or incomplete.
///
/// # Errors
/// Where the disk fails.
pub fn load_whole(folder: &Path, generation: Generation) -> Result<Option<Snapshot>> {
    match load(folder, generation) {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(error @ SnapshotError::Damaged { .. }) => {
            tracing::warn!(generation, %error, "skipping a damaged snapshot");
            Ok(None)
        }
        Err(error) if error.is_absent() => {
            tracing::warn!(generation, %error, "skipping an incomplete snapshot");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads the newest complete snapshot for which `may` holds; warns of damaged ones.
///
/// # Errors
/// Where the disk fails.
pub fn load_newest(folder: &Path, may: impl Fn(Generation) -> bool) -> Result<Option<Snapshot>> {
    let newest_first = generations(folder)?.into_iter().rev();
    for generation in newest_first.filter(|&generation| may(generation)) {
        if let Some(snapshot) = load_whole(folder, generation)? {
            return Ok(Some(snapshot));
        }
    }
    Ok(None)
}

/// Manifests of all snapshots, newest first; damaged ones are left out, with a warning.
///
/// # Errors
/// Where the disk fails.
pub fn list(folder: &Path) -> Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for (_, found) in manifests_in(folder)?.into_iter().rev() {
        manifests.extend(found);
    }
    Ok(manifests)
}

/// The manifest of a snapshot; none where it is not kept, or damaged.
///
/// # Errors
/// Where the disk fails.
pub fn find(folder: &Path, generation: Generation) -> Result<Option<Manifest>> {
    match read_manifest(&place(folder, generation)) {
        Ok(manifest) => Ok(Some(manifest)),
        Err(SnapshotError::Damaged { .. }) => Ok(None),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every snapshot's folder with its manifest, oldest first; none for a damaged one.
fn manifests_in(folder: &Path) -> Result<Vec<(PathBuf, Option<Manifest>)>> {
    let mut found = Vec::new();
    for generation in generations(folder)? {
        let place = place(folder, generation);
        match read_manifest(&place) {
            Ok(manifest) => found.push((place, Some(manifest))),
            // Removed since the folder was listed.
            Err(error) if error.is_absent() && !exists(&place)? => {}
            Err(error) if error.is_absent() => found.push((place, None)),
            Err(error @ SnapshotError::Damaged { .. }) => {
                tracing::warn!(generation, %error, "skipping a damaged snapshot");
                found.push((place, None));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(refused(path))
}

/// The highest generation that was ever given out; 0 for none.
///
/// # Errors
/// Where the disk fails, the file cannot be read, or no generation could follow.
pub fn newest_generation(folder: &Path) -> Result<Generation> {
    let path = folder.join(HIGHEST);
    let noted = match files::read_if_there(&path).map_err(refused(&path))? {
        Some(bytes) => sealed::unseal(&bytes).map_err(damaged(&path))?,
        None => 0,
    };
    let named = generations(folder)?.last().copied().unwrap_or(0);

    let newest: Generation = noted.max(named);
    if newest >= LAST {
        let path = if noted >= named { path } else { place(folder, named) };
        let what = format!("no generation can follow {newest}");
        return Err(SnapshotError::Damaged { path, what });
    }
    Ok(newest)
}

/// Upper bound of generations: programs with signed integers must be able to represent them.
const LAST: Generation = i64::MAX as Generation;

/// Removes what crashes left incomplete; nothing may be writing.
///
/// # Errors
/// Where the folder cannot be listed.
pub fn sweep(folder: &Path) -> Result<()> {
    let names = files::names(folder).map_err(refused(folder))?;
    for name in names.iter().filter(|name| name.starts_with(".writing-")) {
        if let Err(error) = discard(&folder.join(name)) {
            tracing::warn!(%error, "incomplete files stay on disk");
        }
    }
    Ok(())
}

/// Removes the snapshots that are `superfluous`; a damaged one has no manifest to decide by. One
/// that cannot be read stays.
///
/// # Errors
/// Where the disk fails to list or read them, and nothing is removed then; or to remove one.
pub fn remove_where(folder: &Path, superfluous: impl Fn(Option<&Manifest>) -> bool) -> Result<()> {
    let found = manifests_in(folder)?;
    let superfluous = found.iter().filter(|(_, manifest)| superfluous(manifest.as_ref()));
    // All are tried, even if one fails.
    let removed: Vec<Result<()>> = superfluous.map(|(place, _)| remove(place)).collect();
    removed.into_iter().collect()
}

/// Removes the snapshots that were set aside.
///
/// # Errors
/// Where the disk fails.
pub fn remove_set_aside(folder: &Path) -> Result<()> {
    let names = files::names(folder).map_err(refused(folder))?;
    let aside = names.iter().map(|name| folder.join(name));
    let aside = aside.filter(|path| path.extension().is_some_and(|ending| ending == BEYOND));
    let removed: Vec<Result<()>> = aside.map(|path| remove(&path)).collect();
    removed.into_iter().collect()
}

/// Sets a snapshot aside: renames its folder, because it refers to users and items that the log no
/// longer has.
///
/// # Errors
/// Where the disk fails.
pub fn set_aside(folder: &Path, generation: Generation) -> Result<()> {
    note_generation(folder, newest_generation(folder)?)?;
    let place = place(folder, generation);
    fs::rename(&place, place.with_extension(BEYOND)).map_err(refused(&place))?;
    files::sync_folder(folder).map_err(refused(folder))
}

/// Records a generation, so that its number is not given out again.
///
/// # Errors
/// Where the disk fails: the snapshot must not be removed then.
pub fn note_generation(folder: &Path, generation: Generation) -> Result<()> {
    let path = folder.join(HIGHEST);
    let bytes = sealed::seal(&generation).map_err(damaged(&path))?;
    files::replace(&path, &bytes).map_err(refused(&path))
}

/// The roles of generations. Without a file, or where it is damaged, the newest snapshot that was
/// trained here is active.
///
/// # Errors
/// Where the disk fails.
pub fn roles(folder: &Path) -> Result<Roles> {
    let path = folder.join(ROLES);
    if let Some(bytes) = files::read_if_there(&path).map_err(refused(&path))? {
        let told = sealed::unseal(&bytes);
        match told.and_then(|roles: Roles| roles.validate().map(|()| roles)) {
            Ok(roles) => return Ok(roles),
            Err(error) => {
                let error = damaged(&path)(error);
                tracing::warn!(%error, "the newest model that the server trained is active");
            }
        }
    }

    // A pushed one may never have been meant to be active.
    let (pushed, trained): (Vec<Manifest>, Vec<Manifest>) =
        list(folder)?.into_iter().rev().partition(Manifest::is_pushed);
    let mut trained: Vec<Generation> = trained.iter().map(|m| m.generation).collect();
    Ok(Roles {
        active: trained.pop(),
        answered: trained,
        staged: pushed.iter().map(|m| m.generation).collect(),
        ..Roles::default()
    })
}

/// Records the roles of generations.
///
/// # Errors
/// Where the disk fails; the roles before stay in force then.
pub fn set_roles(folder: &Path, roles: &Roles) -> Result<()> {
    let path = folder.join(ROLES);
    let bytes = sealed::seal(roles).map_err(damaged(&path))?;
    files::replace(&path, &bytes).map_err(refused(&path))
}

/// Removes a snapshot, or what else lies there. It is renamed first: what remains of an interrupted
/// removal is swept at the next start.
pub(super) fn remove(place: &Path) -> Result<()> {
    let named = place.file_name().and_then(|name| name.to_str()).unwrap_or("gone");
    let aside = place.with_file_name(format!(".writing-gone-{named}"));
    match fs::rename(place, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed.map_err(refused(place))?,
    }
    discard(&aside)
}

fn discard(place: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(place).map_err(refused(place))?;
    let removed =
        if metadata.is_dir() { fs::remove_dir_all(place) } else { fs::remove_file(place) };
    removed.map_err(refused(place))
}

pub(super) fn place(folder: &Path, generation: Generation) -> PathBuf {
    folder.join(format!("{generation:010}"))
}

pub(super) fn read_manifest(place: &Path) -> Result<Manifest> {
    let path = place.join(MANIFEST);
    let bytes = fs::read(&path).map_err(refused(&path))?;
    let manifest: Manifest = sealed::unseal(&bytes).map_err(damaged(&path))?;
    manifest.validate().map_err(damaged(&path))?;
    Ok(manifest)
}

/// The generations with a folder, ascending.
pub(super) fn generations(folder: &Path) -> Result<Vec<Generation>> {
    let names = files::names(folder).map_err(refused(folder))?;
    let mut found: Vec<Generation> = names.iter().filter_map(|name| name.parse().ok()).collect();
    found.sort_unstable();
    Ok(found)
}
