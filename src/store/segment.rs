//! One file of the log: a 16-byte header (magic, offset of its first record),
//! then blocks. Reading tells a torn tail, which a crash may leave at the very
//! end, from damage, which nothing legitimate causes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::frame::{self, HEADER_BYTES, Header};
use super::record::{self, Entry};
use super::{StoreError, frame::decode_header};

/// Length of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"QMLOG\0\0\x01";
/// A disk writes sectors: pages that power loss kept from it read as zeros
/// from a multiple of this on.
const SECTOR_BYTES: u64 = 512;

/// How far a segment could be read.
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
    for entry in std::fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let path = entry.map_err(StoreError::io("list", folder))?.path();
        let base = path.file_name().and_then(|n| n.to_str()?.strip_suffix(".log")?.parse().ok());
        if let Some(base) = base {
            segments.push((base, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Reads the blocks of a segment in order, up to the offset `until`, handing
/// out their entries. Blocks past `until` may be half-written and are not
/// looked at.
///
/// # Errors
/// [`StoreError::Damaged`] with the place, for everything but a torn tail in
/// the `last` segment of the log.
pub fn read(
    path: &Path,
    base: u64,
    last: bool,
    until: u64,
    visit: &mut dyn FnMut(Entry<'_>),
) -> Result<Extent, StoreError> {
    read_blocks(path, base, last, until, &mut |header, payload| {
        record::decode(payload, header.first_offset, header.records, visit)
    })
}

/// Given a block's header and payload; says what is wrong with it.
pub type OnBlock<'a> = &'a mut dyn FnMut(&Header, &[u8]) -> Result<(), String>;

/// The same, block by block: each with its header and its payload. What `visit` finds
/// wrong with a block is damage.
///
/// # Errors
/// As [`read`].
pub fn read_blocks(
    path: &Path,
    base: u64,
    last: bool,
    until: u64,
    visit: OnBlock<'_>,
) -> Result<Extent, StoreError> {
    let file = File::open(path).map_err(StoreError::io("open", path))?;
    let file_bytes = file.metadata().map_err(StoreError::io("stat", path))?.len();
    let mut reader = Blocks { path, file: BufReader::with_capacity(1 << 20, file), file_bytes };
    let mut at = Extent { end_offset: base, whole_bytes: 0, file_bytes };
    if !reader.segment_header(base, last)? {
        return Ok(at);
    }
    at.whole_bytes = SEGMENT_HEADER_BYTES as u64;
    while at.whole_bytes < file_bytes && at.end_offset < until {
        let Some((header, payload)) = reader.next(&at, last)? else { break };
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
}

impl Blocks<'_> {
    /// Checks the segment's header; false where a crash tore it.
    fn segment_header(&mut self, base: u64, last: bool) -> Result<bool, StoreError> {
        let start = Extent { end_offset: base, whole_bytes: 0, file_bytes: self.file_bytes };
        if self.file_bytes < SEGMENT_HEADER_BYTES as u64 {
            return if last {
                Ok(false)
            } else {
                Err(self.damaged(&start, "the file is cut short".into()))
            };
        }
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        self.fill(&mut bytes)?;
        if bytes != header(base) {
            if last && self.file_bytes == SEGMENT_HEADER_BYTES as u64 && bytes == [0; 16] {
                return Ok(false);
            }
            return Err(self.damaged(&start, "the file's header is not this segment's".into()));
        }
        Ok(true)
    }

    /// The next block, unpacked; none where a crash tore it.
    fn next(&mut self, at: &Extent, last: bool) -> Result<Option<(Header, Vec<u8>)>, StoreError> {
        let left = self.file_bytes - at.whole_bytes;
        if left < HEADER_BYTES as u64 {
            return self.torn_or_damaged(at, last, true, "the file is cut short".into());
        }
        let mut bytes = [0; HEADER_BYTES];
        self.fill(&mut bytes)?;
        let header = match decode_header(&bytes) {
            Ok(header) => header,
            Err(what) => {
                let torn = bytes == [0; HEADER_BYTES] && self.rest_is_zero()?;
                return self.torn_or_damaged(at, last, torn, what);
            }
        };
        if header.first_offset != at.end_offset {
            let what = format!("the block begins at offset {}", header.first_offset);
            return Err(self.damaged(at, what));
        }
        if u64::from(header.stored) > left - HEADER_BYTES as u64 {
            return self.torn_or_damaged(at, last, true, "the file is cut short".into());
        }
        let mut stored = vec![0; header.stored as usize];
        self.fill(&mut stored)?;
        match frame::unpack(&header, &stored) {
            Ok(payload) => Ok(Some((header, payload))),
            Err(what) => {
                let begin = at.whole_bytes + HEADER_BYTES as u64;
                let at_end = begin + u64::from(header.stored) == self.file_bytes;
                let torn = at_end && ends_in_empty_sector(&stored, begin);
                self.torn_or_damaged(at, last, torn, what)
            }
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.file.read_exact(bytes).map_err(StoreError::io("read", self.path))
    }

    fn rest_is_zero(&mut self) -> Result<bool, StoreError> {
        let mut chunk = [0; 4096];
        loop {
            match self.file.read(&mut chunk).map_err(StoreError::io("read", self.path))? {
                0 => return Ok(true),
                n if chunk[..n].iter().any(|&b| b != 0) => return Ok(false),
                _ => {}
            }
        }
    }

    fn torn_or_damaged<T>(
        &self,
        at: &Extent,
        last: bool,
        torn: bool,
        what: String,
    ) -> Result<Option<T>, StoreError> {
        if last && torn { Ok(None) } else { Err(self.damaged(at, what)) }
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

/// Whether the bytes that begin at `begin` in the file are zero from a sector
/// boundary to their end: what power loss leaves of a block whose length
/// reached the disk before its pages did. Compressed data never looks so.
fn ends_in_empty_sector(bytes: &[u8], begin: u64) -> bool {
    let end = begin + bytes.len() as u64;
    let boundary = end.saturating_sub(1) / SECTOR_BYTES * SECTOR_BYTES;
    let from = boundary.saturating_sub(begin) as usize;
    // A handful of zeros proves nothing; ask for the run of a whole header at least.
    bytes.len() - from >= HEADER_BYTES && bytes[from..].iter().all(|&b| b == 0)
}
