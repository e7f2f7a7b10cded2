//! The log as bytes from one offset on, beside the thread that writes it: what followers copy.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::frame::{self, HEADER_BYTES, Header};
use super::{StoreError, segment};
use crate::domain::Offset;

/// A place in the log.
#[derive(Debug)]
pub struct LogTail {
    folder: PathBuf,
    open: Option<Open>,
    /// Offset of the next block's first record.
    next: Offset,
}

/// The file at the place.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    /// Position of the next block.
    position: u64,
}

impl LogTail {
    /// The place at the offset `from` of the log in `folder`, where a block must begin.
    ///
    /// # Errors
    /// [`StoreError::Lost`] where none begins there, [`StoreError::Io`] where the disk fails.
    pub fn at(folder: &Path, from: Offset) -> Result<Self, StoreError> {
        let mut tail = Self { folder: folder.to_owned(), open: None, next: from };
        let segments = segment::list(folder)?;
        let Some((base, path)) = segments.into_iter().rfind(|(base, _)| *base <= from) else {
            return Ok(tail);
        };

        let mut open = Open::begin(path)?;
        let mut at = base;
        while at < from {
            let Some(header) = open.header()? else { break };
            at = header.first_offset + u64::from(header.records);
            open.position += block_bytes(&header);
        }
        if at != from {
            return Err(StoreError::lost(&open.path, format!("no block begins at offset {from}")));
        }
        tail.open = Some(open);
        Ok(tail)
    }

    /// The offset of the place.
    pub fn offset(&self) -> Offset {
        self.next
    }

    /// Whole blocks as they are stored, of records before `until`, which must have been appended: about
    /// `enough` bytes, at least one block; empty where the place is at `until`.
    ///
    /// # Errors
    /// [`StoreError::Lost`] where the log ends before, [`StoreError::Damaged`] where no block is, and
    /// [`StoreError::Io`] where the disk fails.
    pub fn read(&mut self, until: Offset, enough: usize) -> Result<Vec<u8>, StoreError> {
        let mut blocks = Vec::new();
        while self.next < until && blocks.len() < enough {
            let Some(open) = &mut self.open else {
                self.open = Some(self.next_file()?);
                continue;
            };
            let Some(header) = open.header()? else {
                if open.is_at_begin() {
                    let what = format!("it ends before offset {until}, which was written");
                    return Err(StoreError::lost(&open.path, what));
                }
                self.open = None;
                continue;
            };
            if header.first_offset != self.next {
                let what = format!("the block begins at offset {}", header.first_offset);
                return Err(open.damaged(self.next, what));
            }

            let length = block_bytes(&header);
            let begin = blocks.len();
            blocks.resize(begin + length as usize, 0);
            open.fill(&mut blocks[begin..])?;
            open.position += length;
            self.next += u64::from(header.records);
        }
        Ok(blocks)
    }

    /// The file that begins at the place.
    fn next_file(&self) -> Result<Open, StoreError> {
        let path = self.folder.join(segment::file_name(self.next));
        Open::begin(path)
    }
}

/// Bytes of a block as it is stored.
fn block_bytes(header: &Header) -> u64 {
    HEADER_BYTES as u64 + u64::from(header.stored)
}

impl Open {
    fn begin(path: PathBuf) -> Result<Self, StoreError> {
        let file = File::open(&path).map_err(StoreError::io("open", &path))?;
        Ok(Self { path, file, position: segment::SEGMENT_HEADER_BYTES as u64 })
    }

    fn is_at_begin(&self) -> bool {
        self.position == segment::SEGMENT_HEADER_BYTES as u64
    }

    /// The header of the next block; none at the end of the file. Nothing is read ahead: bytes behind what
    /// was acknowledged may still change.
    fn header(&self) -> Result<Option<Header>, StoreError> {
        let length = self.file.metadata().map_err(StoreError::io("stat", &self.path))?.len();
        if length < self.position + HEADER_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_BYTES];
        self.fill(&mut bytes)?;
        frame::decode_header(&bytes).map(Some).map_err(|what| self.damaged(0, what))
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), StoreError> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.position))
            .and_then(|_| file.read_exact(bytes))
            .map_err(StoreError::io("read", &self.path))
    }

    fn damaged(&self, offset: Offset, what: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), position: self.position, offset, what }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BlockBuilder, Copying, Log, Opening, Record};
    use super::*;

    fn append(log: &mut Log, n: u128) {
        let mut block = BlockBuilder::default();
        block.define_user(&format!("user-{n}"));
        block.push(&Record::Imported(n));
        block.push(&Record::Imported(n));
        log.append(&block).unwrap();
        log.commit().unwrap();
    }

    #[test]
    fn a_copy_is_byte_for_byte_what_was_written_from_any_block_on() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let opening = Opening { segment_bytes: 300, proven: false, ..Opening::default() };
        let mut log = Log::open(from.path(), opening, &mut |_| {}).unwrap();
        let mut copy = Log::open(to.path(), opening, &mut |_| {}).unwrap();
        let mut tail = LogTail::at(from.path(), 0).unwrap();
        assert_eq!(tail.read(0, 1_000).unwrap(), b"");
        let mut copying = Copying::after(0, 0, 0);
        for n in 0..40 {
            append(&mut log, n);
            if n % 3 == 0 {
                // What follows the acknowledged is not read.
                copying.push(&tail.read(2 * n as Offset, 1 << 20).unwrap());
            }
            while let Some(block) = copying.take().unwrap() {
                copy.append_copy(&block).unwrap();
            }
        }
        assert_eq!(copy.next_offset(), 78);

        // Continued by another reader, from the middle of a file, in pieces of one byte.
        let mut tail = LogTail::at(from.path(), copy.next_offset()).unwrap();
        for byte in tail.read(log.next_offset(), 1).unwrap() {
            copying.push(&[byte]);
        }
        copy.append_copy(&copying.take().unwrap().unwrap()).unwrap();
        copy.commit().unwrap();
        assert_eq!(copy.next_offset(), log.next_offset());
        let read = |folder: &Path| {
            let mut seen = Vec::new();
            let visit = &mut |entry: super::super::Entry<'_>| seen.push(format!("{entry:?}"));
            super::super::replay(folder, Offset::MAX, visit).unwrap();
            seen
        };
        assert_eq!(read(to.path()), read(from.path()));

        let between = LogTail::at(from.path(), 41).unwrap_err().to_string();
        assert!(between.contains("no block begins at offset 41"), "{between}");
        assert!(LogTail::at(from.path(), 500).is_err(), "beyond the end");
    }

    #[test]
    fn bytes_that_were_changed_on_the_way_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let opening = Opening { proven: false, ..Opening::default() };
        let mut log = Log::open(folder.path(), opening, &mut |_| {}).unwrap();
        append(&mut log, 7);
        let bytes = LogTail::at(folder.path(), 0).unwrap().read(2, 1).unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let mut copying = Copying::after(0, 0, 0);
            copying.push(&bad);
            assert!(copying.take().is_err(), "byte {at}");
        }
        let mut elsewhere = Copying::after(0, 0, 2);
        elsewhere.push(&bytes);
        assert!(elsewhere.take().unwrap_err().contains("begins at offset 0"));
    }
}
