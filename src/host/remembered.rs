//! Which keys and stores of an object store a data folder has, in the file `DIR/SHARED`: a server whose folder has
//! others must not write before it has taken these over. Before a server has announced its keys, the file has the
//! names of the last holders of its lease.

use std::path::Path;

use crate::domain::{Error, Result};
use crate::store::files;

const NAME: &str = "SHARED";

/// Whether something of this name was taken over or announced last.
///
/// # Errors
/// [`Error::Storage`] where the disk fails.
pub fn remembers(data: &Path, name: &str) -> Result<bool> {
    let read = read(data)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&read).split_whitespace().any(|known| known == name))
}

/// Whether anything was ever taken over or announced.
///
/// # Errors
/// [`Error::Storage`] where the disk fails.
pub fn remembers_any(data: &Path) -> Result<bool> {
    Ok(read(data)?.is_some())
}

fn read(data: &Path) -> Result<Option<Vec<u8>>> {
    let path = data.join(NAME);
    let read = files::read_if_there(&path);
    read.map_err(|e| Error::Storage(format!("read {}: {e}", path.display()).into()))
}

/// Remembers what was taken over, or announced and written, durably: a name, or several with spaces between them.
/// Creates the folder where there is none.
///
/// # Errors
/// [`Error::Storage`] where the disk fails.
pub fn remember(data: &Path, name: &str) -> Result<()> {
    let path = data.join(NAME);
    files::create_folder(data)
        .and_then(|()| files::replace(&path, format!("{name}\n").as_bytes()))
        .map_err(|e| Error::Storage(format!("write {}: {e}", path.display()).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_remembered_last_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let knows = |name| remembers(folder.path(), name).unwrap();
        assert!(!knows("a") && !knows("") && !remembers_any(folder.path()).unwrap());
        remember(folder.path(), "a").unwrap();
        remember(folder.path(), "b c").unwrap();
        assert!(remembers_any(folder.path()).unwrap());
        assert_eq!(["a", "b", "c", "", "b c"].map(knows), [false, true, true, false, false]);
    }
}
