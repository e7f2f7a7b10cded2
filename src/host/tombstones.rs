//! Which stores were deleted, in the file `DIR/DELETED`: what a follower may delete of its copies. A store that is
//! merely not there, because it does not open or its disk is another, is none of them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::{Error, Result};
use crate::store::files;
use crate::store::sealed::{seal, unseal};

/// Maximum number of deleted stores that are remembered; the oldest leave.
const MAX: usize = 10_000;

/// A store that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstone {
    /// Its name.
    pub name: String,
    /// Time of its creation in milliseconds since 1970, which tells it from others of the name.
    pub created_ms: i64,
}

/// The stores of a data folder that were deleted, oldest first.
pub(super) fn read(data: &Path) -> Result<Vec<Tombstone>> {
    let path = data.join("DELETED");
    let damaged = |what: String| Error::Storage(format!("{}: {what}", path.display()).into());
    let bytes = files::read_if_there(&path).map_err(|e| damaged(e.to_string()))?;
    bytes.map_or_else(|| Ok(Vec::new()), |bytes| unseal(&bytes).map_err(damaged))
}

/// Notes that a store is about to be deleted, durably.
pub(super) fn note(data: &Path, tombstone: Tombstone) -> Result<()> {
    let mut all = read(data)?;
    if all.contains(&tombstone) {
        return Ok(());
    }
    all.push(tombstone);
    all.drain(..all.len().saturating_sub(MAX));

    let path = data.join("DELETED");
    let failed =
        |e: std::io::Error| Error::Storage(format!("write {}: {e}", path.display()).into());
    let bytes = seal(&all).map_err(|e| failed(e.into()))?;
    files::replace(&path, &bytes).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_deleted_is_read_back_once() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), []);
        let eu = |created_ms| Tombstone { name: "eu".to_owned(), created_ms };
        for created_ms in [1, 2, 1] {
            note(folder.path(), eu(created_ms)).unwrap();
        }
        assert_eq!(read(folder.path()).unwrap(), [eu(1), eu(2)]);
        std::fs::write(folder.path().join("DELETED"), "{").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("DELETED"));
    }
}
