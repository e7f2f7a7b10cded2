//! The data folder: `DIR/stores/<name>/` with the log and the snapshots, a format number, and a
//! lock that one process holds. Readable by its owner only.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::witness::Witness;
use super::{BackedUp, StoreError, files, mark, segment};
use crate::domain::limits;

/// Format of the data folder that this version writes. It reads earlier ones and upgrades them: 1
/// has no users beside their events, and no validity of items; 2 has no list of the log's files, no
/// mark of what is on disk, and no checksums in small files; 3 has no deletion of items, and no
/// availability alone; 4 has no exposures and decisions, and fewer fields of items and events; 5 has
/// exposures without sessions and teams.
pub const FORMAT: u32 = 9;
/// The first format with a list of the log's files and a mark of what is on disk.
const PROVEN: u32 = 3;
/// File beside the log with the fingerprint of the key for pseudonyms.
pub(super) const PSEUDONYMS: &str = "PSEUDONYMS";
/// The fingerprint of a store without a key, see [`StoreFolder::hold_to_key`].
const NO_KEY: &str = "none";

/// An open, locked folder of one store. The lock ends with the value, and with the process however
/// that ends.
#[derive(Debug)]
pub struct StoreFolder {
    root: PathBuf,
    /// The format in which it was found; none where it is new.
    format: Option<u32>,
    /// None for a folder that is only read.
    lock: Option<File>,
}

impl StoreFolder {
    /// Opens `data/stores/name`, created where it is missing.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has it,
    /// [`StoreError::Newer`] where a newer version wrote it.
    pub fn open(data: &Path, name: &str) -> Result<Self, StoreError> {
        let root = data.join("stores").join(name);
        for folder in [root.join("log"), root.join("snapshots")] {
            files::create_folder(&folder).map_err(StoreError::io("create", &folder))?;
        }
        files::make_private(&root).map_err(StoreError::io("make private", &root))?;

        let lock_path = root.join("LOCK");
        let lock = files::open_or_create(&lock_path).map_err(StoreError::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: data.to_owned() });
            }
            Err(TryLockError::Error(e)) => return Err(StoreError::io("lock", &lock_path)(e)),
        }

        let format = read_format(data, &root.join("FORMAT"))?;
        let folder = Self { root, format, lock: Some(lock) };
        if format.is_none() && folder.holds_records()? {
            let path = data.to_owned();
            return Err(StoreError::NoFormat { path, found: String::new(), known: FORMAT });
        }
        Ok(folder)
    }

    /// Opens the folder for reading, beside a process that may have it open.
    ///
    /// # Errors
    /// [`StoreError::Io`] where there is none, [`StoreError::Newer`] where a newer version wrote
    /// it.
    pub fn beside(data: &Path, name: &str) -> Result<Self, StoreError> {
        let root = data.join("stores").join(name);
        let path = root.join("FORMAT");
        let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no store");
        let format = read_format(data, &path)?;
        let format = format.ok_or_else(missing).map_err(StoreError::io("read", &path))?;
        Ok(Self { root, format: Some(format), lock: None })
    }

    /// Whether the log must have the list of its files and the mark of what is on disk.
    pub fn is_proven(&self) -> bool {
        self.format.is_some_and(|format| format >= PROVEN)
    }

    /// Marks the folder as one of this version, once it has everything that such a folder has.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the disk fails.
    pub fn mark_format(&mut self) -> Result<(), StoreError> {
        if self.format == Some(FORMAT) {
            return Ok(());
        }

        let path = self.root.join("FORMAT");
        let written = files::replace(&path, format!("{FORMAT}\n").as_bytes());
        // The names of new folders too, before any event can be acknowledged.
        let mut above = path.ancestors().skip(2).take(3).map(|folder| match folder.as_os_str() {
            here if here.is_empty() => Path::new("."),
            _ => folder,
        });
        written
            .and_then(|()| above.try_for_each(files::sync_folder))
            .map_err(StoreError::io("write", &path))?;
        self.format = Some(FORMAT);
        Ok(())
    }

    /// A witness of the lock's file: without the file another process could open the folder.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the system fails.
    pub fn lock_witness(&self) -> Result<Option<Witness>, StoreError> {
        let path = self.root.join("LOCK");
        let held = self.lock.as_ref().map(File::try_clone).transpose();
        let held = held.map_err(StoreError::io("look at", &path))?;
        Ok(held.map(|file| Witness::new(path, file)))
    }

    /// Binds the log to one key of pseudonyms, by its fingerprint, or to none, from its first
    /// record on. The fingerprint is stored beside the log's files, to be copied with them.
    ///
    /// # Errors
    /// [`StoreError::OtherKey`] where its records were written with another key, or without one;
    /// [`StoreError::Lost`] where the fingerprint is missing, unless `accept_loss` accepts the
    /// given key.
    pub fn hold_to_key(
        &self,
        fingerprint: Option<&str>,
        accept_loss: bool,
    ) -> Result<(), StoreError> {
        let path = self.log().join(PSEUDONYMS);
        let held = self.held_key()?;
        let given = fingerprint.unwrap_or(NO_KEY);

        // Nothing was ever written.
        let marked = mark::read(&self.log())?;
        let begins = !self.holds_records()? && marked.is_none_or(|mark| mark.offset == 0);

        if held.is_none() && self.is_proven() && !accept_loss {
            let what = "it says with which key for pseudonyms the store was written, or that \
                        it was written without one";
            return Err(StoreError::lost(&path, what));
        }

        let of_before = held.is_none() && given == NO_KEY;
        let taken = held.is_none() && accept_loss;
        let new = begins && held.as_deref() != Some(given);
        if new || of_before || taken {
            let line = format!("{given}\n");
            return files::replace(&path, line.as_bytes()).map_err(StoreError::io("write", &path));
        }

        self.compare_key(held.as_deref(), given)
    }

    /// Checks that the log was written with a key of pseudonyms, by its fingerprint, or without one.
    ///
    /// # Errors
    /// [`StoreError::OtherKey`] where it was not.
    pub fn check_key(&self, fingerprint: Option<&str>) -> Result<(), StoreError> {
        self.compare_key(self.held_key()?.as_deref(), fingerprint.unwrap_or(NO_KEY))
    }

    /// The fingerprint of the key that the log was written with; none where the file is missing.
    fn held_key(&self) -> Result<Option<String>, StoreError> {
        let path = self.log().join(PSEUDONYMS);
        let held = files::read_if_there(&path).map_err(StoreError::io("read", &path))?;
        Ok(held.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    fn compare_key(&self, held: Option<&str>, given: &str) -> Result<(), StoreError> {
        let written = held.unwrap_or(NO_KEY);
        if written == given {
            return Ok(());
        }
        Err(StoreError::OtherKey {
            path: self.root.clone(),
            written: if written == NO_KEY { "without a key" } else { "with another key" },
            opened: if given == NO_KEY { "without one" } else { "with this one" },
        })
    }

    /// Whether the log holds anything.
    fn holds_records(&self) -> Result<bool, StoreError> {
        for (_, path) in segment::list(&self.log())? {
            let metadata = fs::metadata(&path).map_err(StoreError::io("stat", &path))?;
            if metadata.len() > segment::SEGMENT_HEADER_BYTES as u64 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the log's segments lie.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Bytes of the log's files, and their number; as far as they can be read.
    pub fn log_size(&self) -> (u64, usize) {
        let segments = segment::list(&self.log()).unwrap_or_default();
        let bytes = segments.iter().filter_map(|(_, path)| Some(fs::metadata(path).ok()?.len()));
        (bytes.sum(), segments.len())
    }

    /// Bytes that are free on the disk of the log; none where the system does not say.
    pub fn disk_free(&self) -> Option<u64> {
        files::disk_free(&self.root)
    }

    /// The note of the last backup, if there was one.
    pub fn last_backup(&self) -> Option<BackedUp> {
        BackedUp::read(&self.root)
    }

    /// Where the checkpoint lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the snapshots lie.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }
}

/// The names of the stores in a data folder, in order. A store whose creation was cut off has no
/// format yet, and is none.
///
/// # Errors
/// [`StoreError::Io`] where the folder cannot be read.
pub fn store_names(data: &Path) -> Result<Vec<String>, StoreError> {
    let folder = data.join("stores");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = files::names(&folder).map_err(StoreError::io("list", &folder))?;
    names.retain(|name| {
        limits::name("name", name).is_ok() && folder.join(name).join("FORMAT").exists()
    });
    names.sort();
    Ok(names)
}

/// The number in a format file, which this version must be able to read; none where there is no
/// such file.
fn read_format(data: &Path, path: &Path) -> Result<Option<u32>, StoreError> {
    let Some(bytes) = files::read_if_there(path).map_err(StoreError::io("read", path))? else {
        return Ok(None);
    };
    let found = String::from_utf8_lossy(&bytes).trim().to_owned();
    let path = data.to_owned();
    let known = FORMAT;
    match found.parse::<u32>() {
        Ok(format) if format <= FORMAT => Ok(Some(format)),
        Ok(_) => Err(StoreError::Newer { path, found, known }),
        Err(_) => Err(StoreError::NoFormat { path, found, known }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let data = tempfile::tempdir().unwrap();
        let first = StoreFolder::open(data.path(), "default").unwrap();
        let refused = StoreFolder::open(data.path(), "default").unwrap_err();
        assert!(refused.to_string().contains("in use by another process"), "{refused}");
        drop(first);
        StoreFolder::open(data.path(), "default").unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let data = tempfile::tempdir().unwrap();
        drop(StoreFolder::open(data.path(), "default").unwrap());
        let format = data.path().join("stores/default/FORMAT");
        let newer = format!("{}\n", FORMAT + 1);
        fs::write(&format, &newer).unwrap();
        let refused = StoreFolder::open(data.path(), "default").unwrap_err();
        assert!(refused.to_string().contains("written by a newer version"), "{refused}");
        assert_eq!(fs::read_to_string(&format).unwrap(), newer);
        fs::write(&format, "").unwrap();
        let refused = StoreFolder::open(data.path(), "default").unwrap_err();
        assert!(refused.to_string().contains("FORMAT file holds \"\""), "{refused}");
    }
}
