//! Sets the folder of a store aside, so that the store is begun anew and nothing of it is lost.

use std::path::{Path, PathBuf};

use super::settings;
use crate::domain::{Error, Result, now_ms};
use crate::store::{StoreFolder, files};

/// Moves the folder of a closed store to `DIR/apart/<milliseconds since 1970>/stores/NAME`, which is a data
/// folder of its own; returns that.
///
/// # Errors
/// [`Error::Storage`] where the store is in use, or the disk fails; the folder stays where it is then.
pub fn set_aside(data: &Path, name: &str) -> Result<PathBuf> {
    // The lock goes with the folder: no other process has the store meanwhile.
    let _lock = StoreFolder::open(data, name)?;
    let aside = data.join("apart").join(now_ms().to_string());
    let (from, to) = (settings::folder(data, name), settings::folder(&aside, name));
    let failed =
        |e: std::io::Error| Error::Storage(format!("set aside {}: {e}", from.display()).into());
    files::create_folder(&aside.join("stores")).map_err(failed)?;
    files::rename_folder(&from, &to).map_err(failed)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_in_use_stays_and_one_that_is_not_is_whole_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let open = StoreFolder::open(folder.path(), "eu").unwrap();
        assert!(set_aside(folder.path(), "eu").is_err());
        drop(open);
        std::fs::write(folder.path().join("stores/eu/log/x"), "kept").unwrap();
        let aside = set_aside(folder.path(), "eu").unwrap();
        assert!(!folder.path().join("stores/eu").exists());
        assert_eq!(std::fs::read_to_string(aside.join("stores/eu/log/x")).unwrap(), "kept");
    }
}
