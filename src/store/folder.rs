//! The data folder: `DIR/stores/<name>/` with the log and the snapshots, a
//! format number, and a lock that one process holds.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{StoreError, segment};

/// Format of the data folder that this version writes; it reads those before, and marks
/// them as its own: 1 knew no users beside their events, and no validity of items.
pub const FORMAT: u32 = 2;

/// An open, locked folder of one store. The lock goes with the value, and with
/// the process however it ends.
#[derive(Debug)]
pub struct StoreFolder {
    root: PathBuf,
    /// None of a folder that is only read.
    _lock: Option<File>,
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
            fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
        }
        let lock_path = root.join("LOCK");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(StoreError::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: data.to_owned() });
            }
            Err(TryLockError::Error(e)) => return Err(StoreError::io("lock", &lock_path)(e)),
        }
        check_format(data, &root.join("FORMAT"))?;
        Ok(Self { root, _lock: Some(lock) })
    }

    /// The same folder to be read beside the process that has it open, if any.
    ///
    /// # Errors
    /// [`StoreError::Io`] where there is none, [`StoreError::Newer`] where a newer version
    /// wrote it.
    pub fn beside(data: &Path, name: &str) -> Result<Self, StoreError> {
        let root = data.join("stores").join(name);
        let path = root.join("FORMAT");
        let text = fs::read_to_string(&path).map_err(StoreError::io("read", &path))?;
        check_known(data, &text)?;
        Ok(Self { root, _lock: None })
    }

    /// Holds the log to one key of pseudonyms, known by its fingerprint, or to none, from its
    /// first record on. What says so lies beside the log's files, to be copied with them.
    ///
    /// # Errors
    /// [`StoreError::OtherKey`] where its records were written with another, or without one.
    pub fn hold_to_key(&self, fingerprint: Option<&str>) -> Result<(), StoreError> {
        let path = self.log().join("PSEUDONYMS");
        let held = match fs::read_to_string(&path) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(StoreError::io("read", &path)(e)),
        };
        let empty = |path: &Path| {
            fs::metadata(path).is_ok_and(|m| m.len() <= segment::SEGMENT_HEADER_BYTES as u64)
        };
        let new = segment::list(&self.log())?.iter().all(|(_, path)| empty(path));
        match (held.as_deref(), fingerprint) {
            (held, given) if held == given => Ok(()),
            (None, Some(given)) if new => write_aside(&path, given)
                .and_then(|()| File::open(self.log())?.sync_all())
                .map_err(StoreError::io("write", &path)),
            (held, given) => Err(StoreError::OtherKey {
                path: self.root.clone(),
                written: if held.is_some() { "with another key" } else { "without a key" },
                opened: if given.is_some() { "with this one" } else { "without one" },
            }),
        }
    }

    /// Where the log's segments lie.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Where the snapshots lie.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }
}

fn check_format(data: &Path, path: &Path) -> Result<(), StoreError> {
    match fs::read_to_string(path) {
        Ok(text) => match check_known(data, &text)? {
            FORMAT => Ok(()),
            _ => write_format(path).map_err(StoreError::io("write", path)),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            write_format(path).map_err(StoreError::io("write", path))
        }
        Err(e) => Err(StoreError::io("read", path)(e)),
    }
}

/// The number of a format that this version can read.
fn check_known(data: &Path, text: &str) -> Result<u32, StoreError> {
    let (path, found, known) = (data.to_owned(), text.trim().to_owned(), FORMAT);
    match found.parse::<u32>() {
        Ok(format) if format <= FORMAT => Ok(format),
        Ok(_) => Err(StoreError::Newer { path, found, known }),
        Err(_) => Err(StoreError::NoFormat { path, found, known }),
    }
}

/// Writes a line to a file that is there whole or not at all.
fn write_aside(path: &Path, line: &str) -> std::io::Result<()> {
    let aside = path.with_extension("writing");
    let mut file = File::create(&aside)?;
    writeln!(file, "{line}")?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

/// Writes the format whole or not at all, and the new folders' names with it,
/// before any event can be acknowledged.
fn write_format(path: &Path) -> std::io::Result<()> {
    write_aside(path, &FORMAT.to_string())?;
    path.ancestors().skip(1).take(3).try_for_each(|folder| File::open(folder)?.sync_all())
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
        fs::write(&format, "3\n").unwrap();
        let refused = StoreFolder::open(data.path(), "default").unwrap_err();
        assert!(refused.to_string().contains("written by a newer version"), "{refused}");
        assert_eq!(fs::read_to_string(&format).unwrap(), "3\n");
        fs::write(&format, "").unwrap();
        let refused = StoreFolder::open(data.path(), "default").unwrap_err();
        assert!(refused.to_string().contains("FORMAT file holds \"\""), "{refused}");
    }
}
