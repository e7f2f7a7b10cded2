//! File operations that durable state shares. New files are readable by their owner only; a
//! replaced file is complete or unchanged; a folder that cannot be listed is an error, never
//! empty.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Creates a folder and its missing parents, readable by the owner only (0700).
///
/// # Errors
/// Where the disk fails.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);

    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);

    builder.create(path)
}

/// Removes the permissions of everyone but the owner from a folder.
///
/// # Errors
/// Where the disk fails, or the folder belongs to another user.
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

/// Opens a file for writing, without truncating it; creates it where it is missing, readable by the
/// owner only (0600).
///
/// # Errors
/// Where the disk fails.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);

    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);

    options.open(path)
}

/// Creates an empty file, readable by the owner only (0600).
///
/// # Errors
/// Where the disk fails.
pub fn create(path: &Path) -> io::Result<File> {
    let file = open_or_create(path)?;
    file.set_len(0)?;
    Ok(file)
}

/// Writes a new file completely and flushes it; its name is flushed with its folder.
///
/// # Errors
/// Where the disk fails.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Replaces a file's content atomically, and flushes it and its name.
///
/// # Errors
/// Where the disk fails; the content before stays then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("writing");
    let replaced = write(&aside, bytes).and_then(|()| fs::rename(&aside, path));

    if replaced.is_err() {
        // A partial temporary file; the next attempt overwrites it.
        let _ = fs::remove_file(&aside);
    }
    replaced.and_then(|()| path.parent().map_or(Ok(()), sync_folder))
}

/// The content of a file; none where there is no such file.
///
/// # Errors
/// Where it exists and cannot be read.
pub fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The length of a file, and its last bytes, at most `count`.
///
/// # Errors
/// Where it cannot be read.
pub fn end_of(path: &Path, count: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut last = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(count)))?;
    file.take(count).read_to_end(&mut last)?;
    Ok((length, last))
}

/// The names in a folder, in no order; names that are not UTF-8 are omitted, since the store writes
/// none.
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

/// Renames a folder, and flushes both names.
///
/// # Errors
/// Where the disk fails.
pub fn rename_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    [from, to].into_iter().filter_map(Path::parent).try_for_each(sync_folder)
}

/// Removes a folder with all it holds; none is no error.
///
/// # Errors
/// Where the disk fails.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes that this process may still write to the disk of a folder; none where the system does not
/// say.
pub fn disk_free(folder: &Path) -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let disk = rustix::fs::statvfs(folder).ok()?;
        disk.f_bavail.checked_mul(disk.f_frsize)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
    }
}

/// Flushes the names in a folder.
///
/// # Errors
/// Where the disk fails.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
