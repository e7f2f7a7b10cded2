//! Whether a file that is open still lies where it was opened: a folder that is deleted, moved or
//! put back from a backup under a running server takes writes that no restart would find.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::StoreError;

/// An open file, and the path at which it must be found.
#[derive(Debug)]
pub struct Witness {
    path: PathBuf,
    file: File,
}

impl Witness {
    /// Watches over `file`, which was opened at `path`.
    pub fn new(path: PathBuf, file: File) -> Self {
        Self { path, file }
    }

    /// Checks that the file is where it was.
    ///
    /// # Errors
    /// As [`check`].
    pub fn check(&self) -> Result<(), StoreError> {
        check(&self.path, &self.file)
    }
}

/// Checks that `path` leads to an open file: to the same device and inode.
///
/// # Errors
/// [`StoreError::Removed`] where another file, or none, is there; [`StoreError::Io`] where that
/// cannot be told.
#[cfg(unix)]
pub fn check(path: &Path, file: &File) -> Result<(), StoreError> {
    use std::io::ErrorKind;
    use std::os::unix::fs::MetadataExt;

    let removed = || StoreError::Removed { path: path.to_owned() };
    let held = file.metadata().map_err(StoreError::io("stat", path))?;
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(removed());
        }
        Err(e) => return Err(StoreError::io("stat", path)(e)),
    };

    let same = (held.dev(), held.ino()) == (found.dev(), found.ino());
    if same { Ok(()) } else { Err(removed()) }
}

/// Elsewhere a file that is open cannot be removed.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn check(_: &Path, _: &File) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_or_gone_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let witness = Witness::new(path.clone(), File::create(&path).unwrap());
        witness.check().unwrap();

        std::fs::rename(&path, dir.path().join("aside")).unwrap();
        assert!(matches!(witness.check(), Err(StoreError::Removed { .. })));
        std::fs::write(&path, "another").unwrap();
        assert!(matches!(witness.check(), Err(StoreError::Removed { .. })));
    }
}
