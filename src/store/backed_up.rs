//! The note of the last backup, which the backup leaves in the store's folder, so that the server can
//! show how old it is.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{StoreError, files, sealed};
use crate::domain::Offset;

/// Its file in the store's folder.
const NAME: &str = "BACKUP";

/// The last backup of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackedUp {
    /// Its time in milliseconds since 1970.
    pub at_ms: i64,
    /// It holds the log before this offset.
    pub offset: Offset,
}

impl BackedUp {
    /// The note in a store's folder; none where there is none that can be read.
    pub fn read(folder: &Path) -> Option<Self> {
        let bytes = files::read_if_there(&folder.join(NAME)).ok()??;
        sealed::unseal(&bytes).ok()
    }

    /// Leaves the note in a store's folder.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(NAME);
        let bytes = sealed::seal(self).map_err(|e| StoreError::lost(&path, e))?;
        files::replace(&path, &bytes).map_err(StoreError::io("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(BackedUp::read(folder.path()), None);
        let note = BackedUp { at_ms: 1_700_000_000_000, offset: 12 };
        note.write(folder.path()).unwrap();
        assert_eq!(BackedUp::read(folder.path()), Some(note));
    }
}
