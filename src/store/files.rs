//! File operations that durable state shares. What is made here only its owner may read; what is
//! replaced is there whole or not at all; what cannot be listed is an error, never an empty list.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Makes a folder and those above it that are missing, readable by the owner alone (0700).
///
/// # Errors
/// Where the disk refuses.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);

    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);

    builder.create(path)
}

/// Takes a folder's permissions from everyone but its owner, where others have any.
///
/// # Errors
/// Where the disk refuses, or the folder belongs to somebody else.
pub fn make_private(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let permissions = fs::metadata(path)?.permissions();
        if permissions.mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
    }
    Ok(())
}

/// Opens a file for writing, made where it is missing and left as it is where it is not; readable
/// by the owner alone (0600).
///
/// # Errors
/// Where the disk refuses.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);

    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);

    options.open(path)
}

/// An empty file of this name, readable by the owner alone (0600).
///
/// # Errors
/// Where the disk refuses.
pub fn create(path: &Path) -> io::Result<File> {
    let file = open_or_create(path)?;
    file.set_len(0)?;
    Ok(file)
}

/// Writes a new file whole and flushes it; its name is flushed with its folder.
///
/// # Errors
/// Where the disk refuses.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives a file this content, whole or not at all, and flushes it and its name.
///
/// # Errors
/// Where the disk refuses; what the file held before, it holds then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("writing");
    let replaced = write(&aside, bytes).and_then(|()| fs::rename(&aside, path));

    if replaced.is_err() {
        // Half a file that never had the name; the next attempt writes it anew.
        let _ = fs::remove_file(&aside);
    }
    replaced.and_then(|()| path.parent().map_or(Ok(()), sync_folder))
}

/// What a file holds; none where there is no such file.
///
/// # Errors
/// Where it is there and cannot be read.
pub fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names in a folder, in no order; those that are no UTF-8 are left out, since none of ours
/// is without.
///
/// # Errors
/// Where the folder, or any entry of it, cannot be read.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Flushes the names in a folder.
///
/// # Errors
/// Where the disk refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
