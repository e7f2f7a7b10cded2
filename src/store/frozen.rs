//! The log as of one offset, for a backup beside the process that writes to it. Files of the log only
//! grow or are replaced as a whole, so what was opened stays as it is.

use std::fs::{File, Metadata};
use std::io::{Seek, SeekFrom};
use std::path::Path;

use super::frame::Header;
use super::ledger::{self, Ledger};
use super::mark::{self, Acknowledged};
use super::priority::Pace;
use super::{StoreError, files, segment};
use crate::domain::Offset;

/// A log as of one offset.
#[derive(Debug)]
pub struct FrozenLog {
    /// It holds the records before this offset.
    pub offset: Offset,
    /// Its segments, oldest first.
    pub segments: Vec<FrozenSegment>,
    /// Its small files as they must be beside these segments: the name and the content of each.
    pub small: Vec<(&'static str, Vec<u8>)>,
}

/// A segment of a frozen log.
#[derive(Debug)]
pub struct FrozenSegment {
    /// Its file name.
    pub name: String,
    /// The file, at its beginning.
    pub file: File,
    /// The facts about the file when it was opened.
    pub metadata: Metadata,
    /// Bytes of it that belong to the frozen log.
    pub bytes: u64,
}

impl FrozenLog {
    /// Freezes the log in `folder` at its end. Every segment is read and checked, except those that
    /// are `known` to be whole, by their name and the facts about the file.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] and [`StoreError::Lost`] where it is not what was written.
    pub fn of(
        folder: &Path,
        known: &dyn Fn(&str, &Metadata) -> bool,
        pace: &Pace,
    ) -> Result<Self, StoreError> {
        let missing = |path: &Path| StoreError::lost(path, "every log of this version has it");
        // Read before the files, which only grow.
        let mark_path = mark::path(folder);
        let acknowledged = mark::read(folder)?.ok_or_else(|| missing(&mark_path))?;
        // Oldest first: an erasure rewrites the newest first, and a user whose name is gone must have
        // no record left.
        let mut opened = Vec::new();
        for (base, path) in segment::list(folder)? {
            let file = File::open(&path).map_err(StoreError::io("open", &path))?;
            let metadata = file.metadata().map_err(StoreError::io("stat", &path))?;
            opened.push((base, path, file, metadata));
        }
        let ledger_path = ledger::path(folder);
        let mut ledger = Ledger::read(folder)?.ok_or_else(|| missing(&ledger_path))?;

        let mut offset = 0;
        let mut segments = Vec::new();
        let count = opened.len();
        for (at, (base, path, mut file, metadata)) in opened.into_iter().enumerate() {
            if base != offset {
                let what =
                    format!("the log ends at offset {offset} before it, and it begins at {base}");
                return Err(StoreError::lost(&path, what));
            }

            let name = segment::file_name(base);
            let next = ledger.segments.iter().find(|listed| listed.base > base);
            let is_last = at + 1 == count;
            let (end, bytes) = match next {
                Some(next) if !is_last && known(&name, &metadata) => (next.base, metadata.len()),
                _ => checked((&path, &file), base, is_last, acknowledged, pace)?,
            };
            offset = end;
            if bytes > segment::SEGMENT_HEADER_BYTES as u64 || base == 0 {
                file.seek(SeekFrom::Start(0)).map_err(StoreError::io("seek in", &path))?;
                segments.push(FrozenSegment { name, file, metadata, bytes });
            }
        }

        if offset < acknowledged.offset {
            return Err(segment::shorter(folder, offset, acknowledged.offset));
        }
        ledger.segments.retain(|listed| listed.base < offset || listed.base == 0);
        let small = small(folder, &ledger, offset)?;
        Ok(Self { offset, segments, small })
    }
}

/// Reads a segment to the end of its whole blocks; returns the offset there, and the bytes.
fn checked(
    (path, file): (&Path, &File),
    base: Offset,
    is_last: bool,
    acknowledged: Acknowledged,
    pace: &Pace,
) -> Result<(Offset, u64), StoreError> {
    // A closed file was flushed before the next began.
    let whole = Acknowledged { offset: Offset::MAX, ordered: true };
    let acknowledged = if is_last { acknowledged } else { whole };
    let read = file.try_clone().map_err(StoreError::io("open", path))?;
    let mut rest = |_: &Header, _: &[u8]| {
        pace.rest();
        Ok(())
    };
    let extent = segment::read_blocks_of(path, read, base, acknowledged, Offset::MAX, &mut rest)?;
    Ok((extent.end_offset, extent.whole_bytes))
}

/// The small files beside the segments.
fn small(
    folder: &Path,
    ledger: &Ledger,
    offset: Offset,
) -> Result<Vec<(&'static str, Vec<u8>)>, StoreError> {
    let mut small = vec![
        (ledger::NAME, ledger.bytes(folder)?),
        (mark::NAME, mark::bytes(Acknowledged { offset, ordered: true })),
    ];
    for name in [super::folder::PSEUDONYMS, super::writers::NAME] {
        let path = folder.join(name);
        let bytes = files::read_if_there(&path).map_err(StoreError::io("read", &path))?;
        small.extend(bytes.map(|bytes| (name, bytes)));
    }
    Ok(small)
}
