//! Snapshots as files that are copied from one server to another, byte for byte.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xxhash_rust::xxh3::Xxh3;

use super::disk::{self, ARRAYS, MANIFEST, SnapshotError, damaged, refused};
use super::{Manifest, Snapshot};
use crate::domain::Generation;
use crate::store::{files, sealed};

type Result<T> = std::result::Result<T, SnapshotError>;

/// A snapshot's files, to be read.
#[derive(Debug)]
pub struct StoredModel {
    /// The manifest as it is stored.
    pub manifest: Vec<u8>,
    path: PathBuf,
    arrays: File,
}

impl StoredModel {
    /// Opens the files of a snapshot.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn open(folder: &Path, generation: Generation) -> Result<Self> {
        let place = disk::place(folder, generation);
        let path = place.join(MANIFEST);
        let manifest = std::fs::read(&path).map_err(refused(&path))?;
        let path = place.join(ARRAYS);
        let arrays = File::open(&path).map_err(refused(&path))?;
        Ok(Self { manifest, path, arrays })
    }

    /// The next bytes of the arrays, at most `enough`; empty at their end.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn read(&mut self, enough: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self.arrays).take(enough as u64).read_to_end(&mut bytes);
        read.map_err(refused(&self.path))?;
        Ok(bytes)
    }
}

/// A folder for snapshots that are handed over to another server; removed with the value.
///
/// # Errors
/// Where the disk fails.
pub fn handing_folder(folder: &Path) -> Result<TempDir> {
    disk::aside(folder)
}

/// A snapshot that is arriving. What is not kept is removed.
pub struct IncomingModel {
    folder: PathBuf,
    aside: TempDir,
    manifest: Manifest,
    arrays: File,
    hash: Xxh3,
    bytes: u64,
}

impl std::fmt::Debug for IncomingModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let generation = self.manifest.generation;
        f.debug_struct("IncomingModel").field("generation", &generation).finish_non_exhaustive()
    }
}

impl IncomingModel {
    /// Begins with the manifest as it is stored elsewhere.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] for one that is not what was written, [`SnapshotError::Io`] where the disk
    /// fails.
    pub fn begin(folder: &Path, manifest: &[u8]) -> Result<Self> {
        let read: Manifest = sealed::unseal(manifest).map_err(damaged(folder))?;
        read.validate().map_err(damaged(folder))?;
        let aside = disk::aside(folder)?;
        let path = aside.path().join(MANIFEST);
        files::write(&path, manifest).map_err(refused(&path))?;
        let path = aside.path().join(ARRAYS);
        let arrays = files::create(&path).map_err(refused(&path))?;
        let folder = folder.to_owned();
        Ok(Self { folder, aside, manifest: read, arrays, hash: Xxh3::new(), bytes: 0 })
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Adds bytes of its arrays.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] for more than the manifest names, [`SnapshotError::Io`] where the disk fails.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.manifest.bytes {
            let what = format!("more than the {} bytes that were written", self.manifest.bytes);
            return Err(damaged(self.aside.path())(what));
        }
        self.hash.update(bytes);
        self.arrays.write_all(bytes).map_err(refused(self.aside.path()))
    }

    /// Checks that all has arrived as it was written, and reads it; keeps nothing.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] where it is not what was written, [`SnapshotError::Io`] where the disk fails.
    pub fn load(self) -> Result<Snapshot> {
        self.check()?;
        let generation = self.manifest.generation;
        let place = disk::place(self.aside.path(), generation);
        std::fs::create_dir(&place).map_err(refused(&place))?;
        for name in [MANIFEST, ARRAYS] {
            let to = place.join(name);
            std::fs::rename(self.aside.path().join(name), &to).map_err(refused(&to))?;
        }
        disk::load(self.aside.path(), generation)
    }

    fn check(&self) -> Result<()> {
        let Self { manifest, hash, bytes, .. } = self;
        if *bytes != manifest.bytes || format!("{:032x}", hash.digest128()) != manifest.checksum {
            let what = "its bytes do not match its checksum";
            return Err(damaged(self.aside.path())(what));
        }
        Ok(())
    }

    /// Checks that all has arrived as it was written, and keeps it, durably, in the place of what lies there.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`] where it is not what was written, [`SnapshotError::Io`] where the disk fails.
    pub fn keep(self) -> Result<()> {
        self.check()?;
        let Self { folder, aside, manifest, arrays, .. } = self;
        arrays.sync_all().map_err(refused(aside.path()))?;
        drop(arrays);
        // Also one that is damaged.
        disk::remove(&disk::place(&folder, manifest.generation))?;
        disk::put_in_place(&folder, aside, manifest.generation)
    }
}
