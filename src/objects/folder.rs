//! A folder as an object store lacks one operation: to replace an object only where it is still the one that
//! was read. A lock of the folder, which the system gives one process at a time, makes up for it.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::store::files;

/// The file whose lock is held meanwhile.
const LOCK: &str = ".lock";

/// The name of a file's state.
pub(super) fn version(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Replaces a file of `root` where its state is the one that `before` names, none for one that is not there;
/// returns whether it was.
pub(super) fn replace(
    root: &Path,
    path: &Path,
    before: Option<&str>,
    bytes: &[u8],
) -> io::Result<bool> {
    files::create_folder(path.parent().unwrap_or(root))?;
    let lock: File = files::open_or_create(&root.join(LOCK))?;
    lock.lock()?;
    let found = files::read_if_there(path)?.map(|found| version(&found));
    let is_same = found.as_deref() == before;
    if is_same {
        files::replace(path, bytes)?;
    }
    lock.unlock()?;
    Ok(is_same)
}
