//! What a backup holds: its stores, and every file with its checksum.

use std::fs::Metadata;
use std::path::{Component, Path};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::domain::Offset;
use crate::store::sealed;

/// The format of backups that this version writes and reads.
pub(super) const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the backup.
    pub format: u32,
    /// The version that made it.
    pub version: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// The id of the data folder; empty where it could not be given one.
    pub data_id: String,
    /// Its stores.
    pub stores: Vec<StoreInBackup>,
    /// Its files.
    pub files: Vec<FileInBackup>,
}

/// A store in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreInBackup {
    /// Its name.
    pub name: String,
    /// It holds the records before this offset.
    pub offset: Offset,
    /// Files of its log.
    pub segments: usize,
    /// Kept models.
    pub models: usize,
}

/// A file in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileInBackup {
    /// Its path below the data folder, with slashes.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its BLAKE3 checksum, in hex.
    pub blake3: String,
    /// The state of the file that was copied, by which the next backup knows it; none for files that
    /// are written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
}

/// What distinguishes one state of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// Its size.
    pub bytes: u64,
    /// Its time in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Its number in the file system.
    pub number: u64,
}

impl Stamp {
    /// The stamp of a file; none where the system does not give it a time.
    pub(super) fn of(metadata: &Metadata) -> Option<Self> {
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let number = 0;
        let modified_ns = u64::try_from(modified.as_nanos()).ok()?;
        Some(Self { bytes: metadata.len(), modified_ns, number })
    }
}

impl Manifest {
    /// The manifest as a file.
    pub(super) fn bytes(&self, place: &Path) -> Result<Vec<u8>, BackupError> {
        sealed::seal(self).map_err(|e| BackupError::damaged(place, e.to_string()))
    }

    /// Reads a manifest, which is not trusted to name paths within the data folder.
    pub(super) fn read(bytes: &[u8], place: &Path) -> Result<Self, BackupError> {
        let damaged = |what: String| BackupError::damaged(place, what);
        let manifest: Self = sealed::unseal_strictly(bytes).map_err(damaged)?;
        if manifest.format != FORMAT {
            let what = format!(
                "it has format {}, this version reads {FORMAT}: use the version that made it, {}",
                manifest.format, manifest.version
            );
            return Err(BackupError::refused(place, what));
        }

        for file in &manifest.files {
            check_path(&file.path).map_err(damaged)?;
            let is_hash =
                file.blake3.len() == 64 && file.blake3.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_hash {
                return Err(damaged(format!("{} has no checksum", file.path)));
            }
        }
        Ok(manifest)
    }

    /// The bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Checks that a path lies within the data folder.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !path.is_empty() && Path::new(path).components().all(is_plain) {
        return Ok(());
    }
    Err(format!("it names the path {path:?}, which is not within a data folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within_the_data_folder() {
        for path in ["access/KEYS", "stores/default/log/SEGMENTS"] {
            assert_eq!(check_path(path), Ok(()));
        }
        for path in ["", "/etc/passwd", "../else", "stores/../../else", "./x"] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }
}
