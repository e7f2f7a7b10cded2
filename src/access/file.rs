//! The file of keys, `DIR/access/KEYS`, which a server and the command line may both change: each
//! change holds the lock of `DIR/access/LOCK`, and replaces the file whole. The file `DIR/KEYED` says
//! that there was a key, so that lost keys never open a server.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::AccessError;
use super::key::Key;
use crate::store::files;
use crate::store::sealed::{seal, unseal, unseal_strictly};

/// The file of keys of a data folder.
#[derive(Debug)]
pub(super) struct KeyFile {
    folder: PathBuf,
    /// The file that says that there was a key.
    mark: PathBuf,
}

/// The outcome of a change: all keys, the stamp of the file with them, and what the change returned.
#[derive(Debug)]
pub(super) struct Changed<T> {
    pub(super) keys: Vec<Key>,
    pub(super) stamp: Stamp,
    pub(super) value: T,
}

/// What distinguishes one state of the file from the next: its times, its length and, where the
/// system has them, its number, which is new with every change.
pub(super) type Stamp = Option<(SystemTime, u64, u64)>;

/// Time that another process gets to finish its change.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two attempts to lock the file.
const PAUSE: Duration = Duration::from_millis(10);

impl KeyFile {
    pub(super) fn of(data: &Path) -> Self {
        Self { folder: data.join("access"), mark: data.join("KEYED") }
    }

    /// The error of keys that are gone.
    pub(super) fn lost(&self) -> AccessError {
        AccessError::Lost { path: self.keys(), mark: self.mark.clone() }
    }

    fn keys(&self) -> PathBuf {
        self.folder.join("KEYS")
    }

    fn lock(&self) -> PathBuf {
        self.folder.join("LOCK")
    }

    /// The stamp of the file as it is now; none where it does not exist.
    pub(super) fn stamp(&self) -> Stamp {
        let metadata = std::fs::metadata(self.keys()).ok()?;
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let number = 0;
        Some((metadata.modified().ok()?, metadata.len(), number))
    }

    /// All keys, in the order of their creation.
    pub(super) fn read(&self) -> Result<Vec<Key>, AccessError> {
        let path = self.keys();
        let bytes = files::read_if_there(&path).map_err(AccessError::io("read", &path))?;
        let keys = match bytes {
            Some(bytes) => {
                unseal_strictly(&bytes).map_err(|what| AccessError::Damaged { path, what })?
            }
            None => Vec::new(),
        };

        let mark = &self.mark;
        let marked = files::read_if_there(mark).map_err(AccessError::io("read", mark))?;
        if keys.is_empty() && marked.is_some() {
            return Err(self.lost());
        }
        Ok(keys)
    }

    /// When keys were used last, by their names. Only people read it, so that a damaged file counts
    /// as an empty one.
    pub(super) fn read_used(&self) -> HashMap<String, i64> {
        let path = self.folder.join("USED");
        let used = files::read_if_there(&path).map_err(|e| e.to_string());
        let used = used.and_then(|bytes| bytes.map_or_else(|| Ok(HashMap::new()), |b| unseal(&b)));
        used.unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "the times of keys' last use are lost");
            HashMap::new()
        })
    }

    /// Replaces what [`KeyFile::read_used`] reads.
    pub(super) fn write_used(&self, used: &HashMap<String, i64>) -> Result<(), AccessError> {
        let path = self.folder.join("USED");
        let bytes = seal(used).map_err(|e| AccessError::io("write", &path)(e.into()))?;
        files::replace(&path, &bytes).map_err(AccessError::io("write", &path))
    }

    /// Replaces the keys by what `change` makes of them.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Key>) -> crate::domain::Result<T>,
    ) -> crate::domain::Result<Changed<T>> {
        let _lock = self.locked()?;
        let mut keys = self.read()?;
        let value = change(&mut keys)?;

        let path = self.keys();
        let bytes = seal(&keys).map_err(|e| AccessError::io("write", &path)(e.into()))?;
        files::replace(&path, &bytes).map_err(AccessError::io("write", &path))?;
        if !keys.is_empty() && !self.mark.exists() {
            files::replace(&self.mark, b"").map_err(AccessError::io("write", &self.mark))?;
        }
        Ok(Changed { keys, stamp: self.stamp(), value })
    }

    /// The lock's file, locked until it is closed. Changes are short: a lock that is held for long is
    /// an error.
    fn locked(&self) -> Result<File, AccessError> {
        let folder = &self.folder;
        files::create_folder(folder).map_err(AccessError::io("create", folder))?;
        files::make_private(folder).map_err(AccessError::io("make private", folder))?;

        let path = self.lock();
        let lock = files::open_or_create(&path).map_err(AccessError::io("open", &path))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(AccessError::io("lock", &path)(error.into())),
            }
        }
    }
}
