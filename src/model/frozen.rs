//! The kept snapshots as open files, for a backup beside the process that publishes others.

use std::fs::File;
use std::path::Path;

use super::disk::{self, SnapshotError};
use crate::store::files;

/// Attempts to open all snapshots while others are removed.
const ATTEMPTS: usize = 10;

/// The files of the kept snapshots, by their paths below their folder.
#[derive(Debug)]
pub struct FrozenSnapshots {
    /// The arrays and manifests.
    pub files: Vec<(String, File)>,
    /// The small files: the name and the content of each.
    pub small: Vec<(&'static str, Vec<u8>)>,
}

impl FrozenSnapshots {
    /// Opens the snapshots in `folder`. Whatever is removed or published afterwards, these stay as
    /// they are.
    ///
    /// # Errors
    /// Where the disk fails, or snapshots are removed faster than they can be opened.
    pub fn of(folder: &Path) -> Result<Self, SnapshotError> {
        let mut attempt = 1;
        loop {
            match Self::opened(folder) {
                // It was removed since the folder was listed.
                Err(error) if error.is_absent() && attempt < ATTEMPTS => attempt += 1,
                opened => return opened,
            }
        }
    }

    fn opened(folder: &Path) -> Result<Self, SnapshotError> {
        // The roles first: what is active then is kept longest.
        let mut small = Vec::new();
        for name in [disk::ROLES, disk::HIGHEST] {
            let path = folder.join(name);
            let bytes = files::read_if_there(&path).map_err(disk::refused(&path))?;
            small.extend(bytes.map(|bytes| (name, bytes)));
        }

        let mut opened = Vec::new();
        for generation in disk::generations(folder)? {
            let place = disk::place(folder, generation);
            for name in [disk::MANIFEST, disk::ARRAYS] {
                let path = place.join(name);
                let file = File::open(&path).map_err(disk::refused(&path))?;
                opened.push((format!("{generation:010}/{name}"), file));
            }
        }
        Ok(Self { files: opened, small })
    }
}
