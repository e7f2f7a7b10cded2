//! Snapshots on disk: `snapshots/<generation>/{manifest.json, model.safetensors}`.
//! Written aside, flushed, renamed: a folder that bears a generation's name is
//! whole. Loading checks size and checksum all the same.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128;

use super::{Manifest, Roles, Snapshot, tensors};
use crate::domain::Generation;

const MANIFEST: &str = "manifest.json";
const ARRAYS: &str = "model.safetensors";
/// Holds the highest generation given out, where its snapshot is gone.
const HIGHEST: &str = "HIGHEST";

/// Holds what each generation is for, as [`Roles`].
const ROLES: &str = "ROLES";

/// Why a snapshot could not be saved or loaded.
#[derive(Debug, Error)]
#[error("snapshot {}: {what}", path.display())]
pub struct SnapshotError {
    /// The snapshot's folder or file.
    pub path: PathBuf,
    /// What went wrong.
    pub what: String,
}

fn failed<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> SnapshotError {
    let path = path.to_owned();
    move |e| SnapshotError { path, what: e.to_string() }
}

/// Writes a snapshot, durably; fills in its size and checksum.
///
/// # Errors
/// Where the disk refuses; nothing is left behind then.
pub fn save(folder: &Path, snapshot: &mut Snapshot) -> Result<(), SnapshotError> {
    let arrays = tensors::encode(&snapshot.parts);
    snapshot.manifest.bytes = arrays.len() as u64;
    snapshot.manifest.checksum = format!("{:032x}", xxh3_128(&arrays));
    let manifest = serde_json::to_vec_pretty(&snapshot.manifest).map_err(failed(folder))?;
    let aside =
        tempfile::Builder::new().prefix(".writing-").tempdir_in(folder).map_err(failed(folder))?;
    write_durably(&aside.path().join(ARRAYS), &arrays)?;
    write_durably(&aside.path().join(MANIFEST), &manifest)?;
    let place = place(folder, snapshot.manifest.generation);
    let aside = aside.keep();
    fs::rename(&aside, &place).map_err(|e| {
        let _ = fs::remove_dir_all(&aside);
        failed(&place)(e)
    })?;
    File::open(folder).and_then(|f| f.sync_all()).map_err(failed(folder))
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(failed(path))
}

/// Reads one snapshot.
///
/// # Errors
/// Where it is missing, or not what was written.
pub fn load(folder: &Path, generation: Generation) -> Result<Snapshot, SnapshotError> {
    let place = place(folder, generation);
    let manifest = read_manifest(&place)?;
    let path = place.join(ARRAYS);
    let arrays = fs::read(&path).map_err(failed(&path))?;
    if arrays.len() as u64 != manifest.bytes {
        let what = format!("{} bytes, {} were written", arrays.len(), manifest.bytes);
        return Err(SnapshotError { path, what });
    }
    if format!("{:032x}", xxh3_128(&arrays)) != manifest.checksum {
        return Err(SnapshotError { path, what: "its bytes do not match its checksum".into() });
    }
    let parts = tensors::decode(&arrays).map_err(failed(&path))?;
    Ok(Snapshot { manifest, parts })
}

/// Reads the newest whole snapshot that `may` be read, trained on no more than the log
/// holds (`offset`); what is passed over for its state is warned of.
pub fn load_newest(
    folder: &Path,
    offset: u64,
    may: impl Fn(Generation) -> bool,
) -> Option<Snapshot> {
    generations(folder)
        .into_iter()
        .rev()
        .filter(|&g| may(g))
        .find_map(|g| load_fitting(folder, g, offset))
}

/// Reads a snapshot; none, with a warning, where it is damaged or has seen more than the log
/// holds (`offset`).
pub fn load_fitting(folder: &Path, generation: Generation, offset: u64) -> Option<Snapshot> {
    match load(folder, generation) {
        Ok(snapshot) if snapshot.manifest.known_offset() > offset => {
            tracing::warn!(
                generation,
                snapshot_offset = snapshot.manifest.known_offset(),
                log_offset = offset,
                "passing over a snapshot that has seen more than the log holds"
            );
            None
        }
        Ok(snapshot) => Some(snapshot),
        Err(error) => {
            tracing::warn!(generation, %error, "passing over a damaged snapshot");
            None
        }
    }
}

/// Manifests of all snapshots, newest first; unreadable ones are left out.
pub fn list(folder: &Path) -> Vec<Manifest> {
    let generations = generations(folder).into_iter().rev();
    generations.filter_map(|g| read_manifest(&place(folder, g)).ok()).collect()
}

/// The highest generation known to have been given out; 0 for none.
pub fn newest_generation(folder: &Path) -> Generation {
    let noted = fs::read_to_string(folder.join(HIGHEST)).ok();
    let noted = noted.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    generations(folder).last().copied().unwrap_or(0).max(noted)
}

/// Removes what crashes left half-written; nobody may be writing.
pub fn sweep(folder: &Path) {
    half_written(folder).for_each(|path| remove(&path));
}

/// Removes the snapshots that are not to be kept, and those that are none. One that cannot be
/// read just now stays.
pub fn retain(folder: &Path, kept: impl Fn(&Manifest) -> bool) {
    for generation in generations(folder) {
        let place = place(folder, generation);
        let goes = match fs::read(place.join(MANIFEST)) {
            Ok(bytes) => !serde_json::from_slice(&bytes).is_ok_and(|manifest| kept(&manifest)),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if goes {
            remove(&place);
        }
    }
}

/// Keeps a generation's number from being given out again when it is gone from disk.
pub fn note_generation(folder: &Path, generation: Generation) {
    let path = folder.join(HIGHEST);
    if let Err(error) = write_durably(&path, generation.to_string().as_bytes()) {
        tracing::warn!(%error, "a generation's number may be given out again");
    }
}

/// What each generation is for. Of a folder that does not tell, the newest answers that was
/// trained here.
pub fn roles(folder: &Path) -> Roles {
    let path = folder.join(ROLES);
    let told = fs::read(&path).map_err(failed(&path));
    let told = told.and_then(|text| serde_json::from_slice(&text).map_err(failed(&path)));
    told.unwrap_or_else(|error| {
        if path.exists() {
            tracing::warn!(%error, "the newest model that the server trained answers");
        }
        // One that was pushed may never have been meant to answer.
        let (pushed, trained): (Vec<Manifest>, Vec<Manifest>) =
            list(folder).into_iter().rev().partition(Manifest::is_pushed);
        let mut trained: Vec<Generation> = trained.iter().map(|m| m.generation).collect();
        Roles {
            active: trained.pop(),
            answered: trained,
            staged: pushed.iter().map(|m| m.generation).collect(),
            ..Roles::default()
        }
    })
}

/// Notes what each generation is for.
///
/// # Errors
/// Where the disk refuses; what was noted before holds then.
pub fn set_roles(folder: &Path, roles: &Roles) -> Result<(), SnapshotError> {
    let (path, aside) = (folder.join(ROLES), folder.join(".writing-roles"));
    let text = serde_json::to_vec_pretty(roles).map_err(failed(&path))?;
    write_durably(&aside, &text)?;
    let renamed = fs::rename(&aside, &path);
    renamed.and_then(|()| File::open(folder)?.sync_all()).map_err(failed(&path))
}

fn half_written(folder: &Path) -> impl Iterator<Item = PathBuf> {
    entries(folder).filter(|name| name.starts_with(".writing-")).map(|name| folder.join(name))
}

fn remove(place: &Path) {
    let removed = match place.is_dir() {
        true => fs::remove_dir_all(place),
        false => fs::remove_file(place),
    };
    if let Err(error) = removed {
        tracing::warn!(path = %place.display(), %error, "an old snapshot stays on disk");
    }
}

fn place(folder: &Path, generation: Generation) -> PathBuf {
    folder.join(format!("{generation:010}"))
}

fn read_manifest(place: &Path) -> Result<Manifest, SnapshotError> {
    let path = place.join(MANIFEST);
    let bytes = fs::read(&path).map_err(failed(&path))?;
    serde_json::from_slice(&bytes).map_err(failed(&path))
}

fn generations(folder: &Path) -> Vec<Generation> {
    let mut found: Vec<Generation> = entries(folder).filter_map(|n| n.parse().ok()).collect();
    found.sort_unstable();
    found
}

fn entries(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok())
}
