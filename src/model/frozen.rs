//! The kept snapshots as open files, for a backup beside the process that publishes others, and their
//! check.

use std::fs::{File, Metadata};
use std::io::{Read, Seek};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use super::Manifest;
use super::disk::{self, SnapshotError};
use crate::store::files;
use crate::store::priority::Pace;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// The files of the kept snapshots, by their paths below their folder.
#[derive(Debug, Default)]
pub struct FrozenSnapshots {
    /// The arrays and manifests, at their beginning.
    pub files: Vec<(String, File)>,
    /// The small files: the name and the content of each.
    pub small: Vec<(&'static str, Vec<u8>)>,
}

impl FrozenSnapshots {
    /// Opens the snapshots in `folder`. Whatever is removed or published afterwards, these stay as
    /// they are. Each is checked, except for arrays that are `known` to be whole, by their path and
    /// the facts about the file; a damaged one is left out, with a warning, as a server does not
    /// serve it either.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn of(
        folder: &Path,
        known: &dyn Fn(&str, &Metadata) -> bool,
        pace: &Pace,
    ) -> Result<Self, SnapshotError> {
        // The roles first: what is active then is kept longest.
        let mut frozen = Self::default();
        for name in [disk::ROLES, disk::HIGHEST] {
            let path = folder.join(name);
            let bytes = files::read_if_there(&path).map_err(disk::refused(&path))?;
            frozen.small.extend(bytes.map(|bytes| (name, bytes)));
        }

        for generation in disk::generations(folder)? {
            let place = disk::place(folder, generation);
            let name = |of: &str| format!("{generation:010}/{of}");
            let (manifest, arrays) = (name(disk::MANIFEST), name(disk::ARRAYS));
            match opened(&place, &arrays, known, pace) {
                Ok([one, other]) => frozen.files.extend([(manifest, one), (arrays, other)]),
                // Removed since the folder was listed.
                Err(error) if error.is_absent() && !place.exists() => {}
                Err(error) if error.is_absent() => warn(&error),
                Err(error @ SnapshotError::Damaged { .. }) => warn(&error),
                Err(error) => return Err(error),
            }
        }
        Ok(frozen)
    }
}

fn warn(error: &SnapshotError) {
    tracing::warn!(%error, "a damaged model is left out");
}

/// The manifest's and the arrays' file of a snapshot.
fn opened(
    place: &Path,
    name: &str,
    known: &dyn Fn(&str, &Metadata) -> bool,
    pace: &Pace,
) -> Result<[File; 2], SnapshotError> {
    let open = |of: &str| {
        let path = place.join(of);
        File::open(&path).map_err(disk::refused(&path))
    };
    let files = [open(disk::MANIFEST)?, open(disk::ARRAYS)?];
    let [_, arrays] = &files;
    let path = place.join(disk::ARRAYS);
    let metadata = arrays.metadata().map_err(disk::refused(&path))?;
    if !known(name, &metadata) {
        check(&path, arrays, &disk::read_manifest(place)?, pace)?;
        let mut arrays = arrays;
        arrays.rewind().map_err(disk::refused(&path))?;
    }
    Ok(files)
}

/// Checks that the arrays are those of a manifest.
fn check(
    path: &Path,
    mut arrays: &File,
    manifest: &Manifest,
    pace: &Pace,
) -> Result<(), SnapshotError> {
    let mut hasher = Xxh3::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = arrays.read(&mut chunk).map_err(disk::refused(path))?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
        pace.rest();
    }
    if format!("{:032x}", hasher.digest128()) == manifest.checksum {
        return Ok(());
    }
    let what = "its bytes do not match its checksum".to_owned();
    Err(SnapshotError::Damaged { path: path.to_owned(), what })
}

/// Reads and checks every snapshot in `folder`; returns their number and bytes.
///
/// # Errors
/// [`SnapshotError::Damaged`] with the first that is damaged or incomplete.
pub fn verify(folder: &Path) -> Result<(usize, u64), SnapshotError> {
    let (mut count, mut bytes) = (0, 0);
    for generation in disk::generations(folder)? {
        let place = disk::place(folder, generation);
        match opened(&place, "", &|_, _| false, &Pace::fast())
            .and_then(|_| disk::read_manifest(&place))
        {
            Ok(manifest) => {
                count += 1;
                bytes += manifest.bytes;
            }
            // Removed since the folder was listed.
            Err(error) if error.is_absent() && !place.exists() => {}
            Err(error) => return Err(error),
        }
    }
    Ok((count, bytes))
}
