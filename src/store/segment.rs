//! One file of the log: a 16-byte header (magic, offset of its first record), then blocks. Reading
//! tells a torn tail, which a crash may leave at the very end, from damage.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::frame::{self, HEADER_BYTES, Header};
use super::mark::Acknowledged;
use super::{StoreError, files, frame::decode_header};

/// Length of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"QMLOG\0\0\x01";
/// Size of a disk's sector: pages lost in a power failure read as zeros from a multiple of it on.
const SECTOR_BYTES: u64 = 512;

/// Bytes searched after an incomplete block: several of the largest blocks.
const MAX_TORN: u64 = 1 << 30;

/// Up to where a segment could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Offset just past the last whole record.
    pub end_offset: u64,
    /// Bytes of whole blocks, header included; what follows is a torn tail.
    pub whole_bytes: u64,
    /// Bytes in the file.
    pub file_bytes: u64,
}

/// The header of a segment whose first record has `base` as its offset.
pub fn header(base: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..].copy_from_slice(&base.to_le_bytes());
    bytes
}

/// File name of the segment that begins at `base`; names sort by offset.
pub fn file_name(base: u64) -> String {
    format!("{base:020}.log")
}

/// The segments of a log folder with the offsets they begin at, in order.
///
/// # Errors
/// Where the folder cannot be listed.
pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let mut segments = Vec::new();
    for name in files::names(folder).map_err(StoreError::io("list", folder))? {
        let base = name.strip_suffix(".log").and_then(|base| base.parse().ok());
        segments.extend(base.map(|base| (base, folder.join(&name))));
    }
    segments.sort();
    Ok(segments)
}

/// Receives a block's header and payload; returns what is wrong with it.
pub type OnBlock<'a> = &'a mut dyn FnMut(&Header, &[u8]) -> Result<(), String>;

/// Reads the blocks of a segment in order, up to the offset `until`. Blocks past `until` may be
/// incomplete and are not read. An error of `visit` is damage.
///
/// # Errors
/// [`StoreError::Damaged`] with the position, for everything but a torn tail beyond what is
/// `acknowledged`.
pub fn read_blocks(
    path: &Path,
    base: u64,
    acknowledged: Acknowledged,
    until: u64,
    visit: OnBlock<'_>,
) -> Result<Extent, StoreError> {
    let file = File::open(path).map_err(StoreError::io("open", path))?;
    read_blocks_of(path, file, base, acknowledged, until, visit)
}

/// [`read_blocks`] of a file that is open already; `path` names it in errors.
///
/// # Errors
/// As [`read_blocks`].
pub(super) fn read_blocks_of(
    path: &Path,
    file: File,
    base: u64,
    acknowledged: Acknowledged,
    until: u64,
    visit: OnBlock<'_>,
) -> Result<Extent, StoreError> {
    let file_bytes = file.metadata().map_err(StoreError::io("stat", path))?.len();
    let file = BufReader::with_capacity(1 << 20, file);
    let mut reader = Blocks { path, file, file_bytes, acknowledged };
    let mut at = Extent { end_offset: base, whole_bytes: 0, file_bytes };
    if !reader.segment_header(base)? {
        return Ok(at);
    }

    at.whole_bytes = SEGMENT_HEADER_BYTES as u64;
    while at.whole_bytes < file_bytes && at.end_offset < until {
        let Some((header, payload)) = reader.next(&at)? else { break };
        visit(&header, &payload).map_err(|what| reader.damaged(&at, what))?;
        at.end_offset += u64::from(header.records);
        at.whole_bytes += (HEADER_BYTES as u64) + u64::from(header.stored);
    }
    Ok(at)
}

struct Blocks<'p> {
    path: &'p Path,
    file: BufReader<File>,
    file_bytes: u64,
    acknowledged: Acknowledged,
}

impl Blocks<'_> {
    /// Checks the segment's header; false where a crash tore it.
    fn segment_header(&mut self, base: u64) -> Result<bool, StoreError> {
        let start = Extent { end_offset: base, whole_bytes: 0, file_bytes: self.file_bytes };
        let may_be_torn = base >= self.acknowledged.offset;
        if self.file_bytes < SEGMENT_HEADER_BYTES as u64 {
            return if may_be_torn {
                Ok(false)
            } else {
                Err(self.damaged(&start, "the file is cut short".into()))
            };
        }

        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        self.fill(&mut bytes)?;
        if bytes == header(base) {
            return Ok(true);
        }

        let never_written =
            self.file_bytes == SEGMENT_HEADER_BYTES as u64 && bytes == [0; SEGMENT_HEADER_BYTES];
        if may_be_torn && never_written {
            return Ok(false);
        }
        Err(self.damaged(&start, "the file's header is not this segment's".into()))
    }

    /// The next block, unpacked; none where a crash tore it.
    fn next(&mut self, at: &Extent) -> Result<Option<(Header, Vec<u8>)>, StoreError> {
        let left = self.file_bytes - at.whole_bytes;
        if left < HEADER_BYTES as u64 {
            return self.cut_short(at);
        }

        let mut bytes = [0; HEADER_BYTES];
        self.fill(&mut bytes)?;
        let header = match decode_header(&bytes) {
            Ok(header) => header,
            Err(what) => return self.torn_or_damaged(at, &bytes, what),
        };

        if header.first_offset != at.end_offset {
            let what = format!("the block begins at offset {}", header.first_offset);
            return Err(self.damaged(at, what));
        }
        if u64::from(header.stored) > left - HEADER_BYTES as u64 {
            return self.cut_short(at);
        }

        let mut stored = vec![0; header.stored as usize];
        self.fill(&mut stored)?;
        match frame::unpack(&header, &stored) {
            Ok(payload) => Ok(Some((header, payload))),
            Err(what) => {
                let block = [&bytes[..], &stored[..]].concat();
                self.torn_or_damaged(at, &block, what)
            }
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.file.read_exact(bytes).map_err(StoreError::io("read", self.path))
    }

    /// A file that ends within a block: torn, unless the missing part was acknowledged.
    fn cut_short<T>(&self, at: &Extent) -> Result<Option<T>, StoreError> {
        if at.end_offset >= self.acknowledged.offset {
            Ok(None)
        } else {
            Err(self.damaged(at, "the file is cut short".into()))
        }
    }

    /// An invalid block, of which `begun` was read: torn, if none of it was acknowledged and any of
    /// its sectors never reached the disk.
    fn torn_or_damaged<T>(
        &mut self,
        at: &Extent,
        begun: &[u8],
        what: String,
    ) -> Result<Option<T>, StoreError> {
        if at.end_offset < self.acknowledged.offset {
            return Err(self.damaged(at, what));
        }

        let mut rest = begun.to_vec();
        let read = (&mut self.file).take(MAX_TORN).read_to_end(&mut rest);
        read.map_err(StoreError::io("read", self.path))?;

        // Where each block is flushed before the next is written, a later block proves that this
        // one was whole once.
        let proved = self.acknowledged.ordered && holds_block(&rest[1..]);

        if has_empty_sector(&rest, at.whole_bytes) && !proved {
            Ok(None)
        } else {
            Err(self.damaged(at, what))
        }
    }

    fn damaged(&self, at: &Extent, what: String) -> StoreError {
        StoreError::Damaged {
            path: self.path.to_owned(),
            position: at.whole_bytes,
            offset: at.end_offset,
            what,
        }
    }
}

/// Whether all bytes of any sector are zero that `bytes`, which begin at `begin` in the file,
/// overlap: the trace of pages that did not reach the disk, in any order. Compressed data has no
/// such runs. (etcd's log recognises torn records by the same rule.)
fn has_empty_sector(bytes: &[u8], begin: u64) -> bool {
    let first = (SECTOR_BYTES - begin % SECTOR_BYTES) as usize;
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    let mut sectors = std::iter::once(head).chain(rest.chunks(SECTOR_BYTES as usize));
    sectors.any(|sector| !sector.is_empty() && sector.iter().all(|&byte| byte == 0))
}

/// Whether `bytes` contain a block's header anywhere.
fn holds_block(bytes: &[u8]) -> bool {
    let headers = bytes.windows(HEADER_BYTES).filter_map(|window| window.first_chunk());
    headers.filter(|window| window.starts_with(&frame::MAGIC)).any(|h| decode_header(h).is_ok())
}

/// The error for a log that ends at `end` and had records up to `held`.
pub(super) fn shorter(folder: &Path, end: u64, held: u64) -> StoreError {
    let last = list(folder).ok().and_then(|mut files| files.pop());
    let path = last.map_or_else(|| folder.to_owned(), |(_, path)| path);
    StoreError::lost(&path, format!("the log ends at offset {end} and held records up to {held}"))
}
