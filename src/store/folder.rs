//! The data folder: `DIR/stores/<name>/` with the log and the snapshots, a
//! format number, and a lock that one process holds.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::StoreError;

/// Format of the data folder that this version reads and writes.
pub const FORMAT: u32 = 1;

/// An open, locked folder of one store. The lock goes with the value, and with
/// the process however it ends.
#[derive(Debug)]
pub struct StoreFolder {
    root: PathBuf,
    _lock: File,
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
        Ok(Self { root, _lock: lock })
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
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(_) => Err(StoreError::Newer {
                path: data.to_owned(),
                found: text.trim().to_owned(),
                known: FORMAT,
            }),
            Err(_) => {
                let (path, found) = (data.to_owned(), text.trim().to_owned());
                Err(StoreError::NoFormat { path, found, known: FORMAT })
            }
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            write_format(path).map_err(StoreError::io("write", path))
        }
        Err(e) => Err(StoreError::io("read", path)(e)),
    }
}

/// Writes the format whole or not at all, and the new folders' names with it,
/// before any event can be acknowledged.
fn write_format(path: &Path) -> std::io::Result<()> {
    let aside = path.with_extension("writing");
    let mut file = File::create(&aside)?;
    writeln!(file, "{FORMAT}")?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
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
        fs::write(&format, "2\n").unwrap();
        let refused = StoreFolder::open(data.path(), "default").unwrap_err();
        assert!(refused.to_string().contains("written by a newer version"), "{refused}");
        assert_eq!(fs::read_to_string(&format).unwrap(), "2\n");
        fs::write(&format, "").unwrap();
        let refused = StoreFolder::open(data.path(), "default").unwrap_err();
        assert!(refused.to_string().contains("FORMAT file holds \"\""), "{refused}");
    }
}
