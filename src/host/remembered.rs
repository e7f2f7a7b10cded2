//! Which keys and stores of an object store a data folder has, in the file `DIR/SHARED`: a server whose folder has
//! others must not write before it has taken these over. Before a server has announced its keys, the file names the
//! server.

use std::path::Path;

use crate::domain::{Error, Result};
use crate::store::files;

const NAME: &str = "SHARED";

/// The name of what was taken over or announced last; none where there was none.
///
/// # Errors
/// [`Error::Storage`] where the disk fails.
pub fn remembered(data: &Path) -> Result<Option<String>> {
    let path = data.join(NAME);
    let read = files::read_if_there(&path);
    let read = read.map_err(|e| Error::Storage(format!("read {}: {e}", path.display()).into()))?;
    Ok(read.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
}

/// Remembers what was taken over, or announced and written, durably. Creates the folder where there is none.
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
        assert_eq!(remembered(folder.path()).unwrap(), None);
        remember(folder.path(), "a").unwrap();
        remember(folder.path(), "b").unwrap();
        assert_eq!(remembered(folder.path()).unwrap().as_deref(), Some("b"));
    }
}
