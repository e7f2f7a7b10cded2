//! Checks that an open file is still where it was opened: a folder that is deleted, moved or
//! restored under a running server would take writes that no restart finds.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::StoreError;

/// An open file, and its path.
#[derive(Debug)]
pub struct Witness {
    path: PathBuf,
    file: File,
}

impl Witness {
    /// Watches `file`, which was opened at `path`.
    pub fn new(path: PathBuf, file: File) -> Self {
        Self { path, file }
    }

    /// Checks that the file is still at its path.
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
/// cannot be determined.
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

/// On other systems an open file cannot be removed.
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
