//! The durable mark: up to where the log is known to be on disk.
//!
//! `DURABLE` contains an offset. Every record before it was flushed to disk before the mark was
//! written, so whatever is missing or unreadable before it is damage. Records beyond it may have
//! been in flight at a power loss.
//!
//! - **Writing**: in place, 40 bytes into one of two slots of 512 bytes in turn, after every flush
//!   of the log; a slot torn by power loss leaves the other, older one.
//! - **Cost**: one small write per commit, and a flush only when a file of the log is full and
//!   when the store closes. The system writes it out within its usual time.
//! - **Proof**: after the end of the process, exactly what was acknowledged; where
//!   acknowledgements do not wait for a flush, the state when the last file was full, a training
//!   ended, or the store closed. After power loss it may be some seconds old, and proves less;
//!   never more.
//!
//! ```text
//!  0  magic "QMMARK\0\x01"   24  1 where each block was flushed before the next was written
//!  8  count of marks (u64)   32  CRC-32 of bytes 0..32
//! 16  offset (u64)
//! ```

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{StoreError, files};
use crate::domain::Offset;

/// Its file in the log's folder.
pub(super) const NAME: &str = "DURABLE";
const MAGIC: [u8; 8] = *b"QMMARK\0\x01";
const SLOT_BYTES: usize = 512;
const MARK_BYTES: usize = 40;

/// The content of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acknowledged {
    /// Records before this offset are on disk.
    pub offset: Offset,
    /// Whether a block beyond it proves that those before it were flushed.
    pub ordered: bool,
}

/// The mark of an open log.
#[derive(Debug)]
pub struct Mark {
    file: File,
    count: u64,
}

/// The path of a log's mark.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// The newest mark in `folder`; none where the file is missing.
///
/// # Errors
/// [`StoreError::Io`] where it cannot be read, [`StoreError::Lost`] where neither slot is whole.
pub fn read(folder: &Path) -> Result<Option<Acknowledged>, StoreError> {
    let path = path(folder);
    let Some(bytes) = files::read_if_there(&path).map_err(StoreError::io("read", &path))? else {
        return Ok(None);
    };
    match newest(&bytes) {
        Some((_, mark)) => Ok(Some(mark)),
        None => Err(StoreError::lost(&path, "it holds no whole mark")),
    }
}

impl Mark {
    /// Opens the mark of `folder`, created where it is missing.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = path(folder);
        let count = files::read_if_there(&path)?.and_then(|bytes| newest(&bytes));
        let count = count.map_or(0, |(count, _)| count);
        Ok(Self { file: files::open_or_create(&path)?, count })
    }

    /// Records what is on disk now.
    ///
    /// # Errors
    /// Where the disk fails; the mark before stays then, and is true.
    pub fn set(&mut self, acknowledged: Acknowledged) -> io::Result<()> {
        let count = self.count + 1;
        let slot = (count % 2) * SLOT_BYTES as u64;

        self.file.seek(SeekFrom::Start(slot))?;
        self.file.write_all(&encode(count, acknowledged))?;

        self.count = count;
        Ok(())
    }

    /// Flushes it.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// The file of a log's first mark.
pub(super) fn bytes(acknowledged: Acknowledged) -> Vec<u8> {
    let mut bytes = vec![0; SLOT_BYTES + MARK_BYTES];
    bytes[SLOT_BYTES..].copy_from_slice(&encode(1, acknowledged));
    bytes
}

fn encode(count: u64, acknowledged: Acknowledged) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&count.to_le_bytes());
    bytes[16..24].copy_from_slice(&acknowledged.offset.to_le_bytes());
    bytes[24] = u8::from(acknowledged.ordered);

    let crc = crc32fast::hash(&bytes[..32]);
    bytes[32..36].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The newest whole mark of a file, with its count.
fn newest(bytes: &[u8]) -> Option<(u64, Acknowledged)> {
    let slots = [0, SLOT_BYTES].into_iter().filter_map(|at| bytes.get(at..at + MARK_BYTES));
    slots.filter_map(decode).max_by_key(|(count, _)| *count)
}

fn decode(slot: &[u8]) -> Option<(u64, Acknowledged)> {
    let word = |at: usize| Some(u64::from_le_bytes(slot.get(at..at + 8)?.try_into().ok()?));
    let crc = u64::from(crc32fast::hash(slot.get(..32)?));
    let whole = slot.starts_with(&MAGIC) && word(32)? & u64::from(u32::MAX) == crc;

    whole.then_some(())?;
    Some((word(8)?, Acknowledged { offset: word(16)?, ordered: word(24)? == 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: Offset) -> Acknowledged {
        Acknowledged { offset, ordered: true }
    }

    #[test]
    fn the_newest_whole_mark_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        for offset in [7, 9, 12] {
            let mut mark = Mark::open(dir.path()).unwrap();
            mark.set(at(offset)).unwrap();
            assert_eq!(read(dir.path()).unwrap(), Some(at(offset)));
        }

        // Every flipped byte of the newest leaves the one before.
        let path = path(dir.path());

        let good = std::fs::read(&path).unwrap();
        for byte in 0..36 {
            let mut bad = good.clone();
            bad[SLOT_BYTES + byte] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            assert_eq!(read(dir.path()).unwrap(), Some(at(9)), "byte {byte}");
        }

        std::fs::write(&path, vec![0; 2 * SLOT_BYTES]).unwrap();
        let error = read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("DURABLE"), "{error}");
    }
}
