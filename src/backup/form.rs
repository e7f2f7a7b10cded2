//! The form of a backup, by its path.

use std::path::Path;

use super::BackupError;
use super::repository::Repository;

/// The ending of a backup in a single file.
const ENDING: &str = ".tar.zst";

/// The form of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A folder of backups.
    Repository,
    /// A single file.
    Archive,
}

impl Form {
    /// The form that a new backup at a path gets.
    pub(super) fn of_new(path: &Path) -> Self {
        let is_archive = path.to_string_lossy().to_ascii_lowercase().ends_with(ENDING);
        if is_archive { Form::Archive } else { Form::Repository }
    }

    /// The form of the backup at a path; none where there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        if Repository::is_at(path) {
            return Some(Form::Repository);
        }
        (path.is_file() && Self::of_new(path) == Form::Archive).then_some(Form::Archive)
    }

    /// The form of the backup at a path.
    pub(super) fn found(path: &Path) -> Result<Self, BackupError> {
        let none = || {
            let what =
                format!("it is no backup: neither a folder of backups nor a file NAME{ENDING}");
            BackupError::refused(path, what)
        };
        Self::of(path).ok_or_else(none)
    }
}
