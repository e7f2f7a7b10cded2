//! The log's writer: appends blocks, makes them durable, rolls over to a new
//! segment. And the replay from which live state and every training begin.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::{BlockBuilder, Entry};
use super::{StoreError, compact, frame, segment};
use crate::domain::Offset;

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Power loss: the disk has flushed (fsync) before the acknowledgement.
    PowerLoss,
    /// The end of the process only: the operating system has it. Power loss
    /// can lose every write since the system's last flush, tens of seconds.
    ProcessCrash,
}

/// Writer of a log; there is one per store, owned by one thread.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    durability: Durability,
    segment_bytes: u64,
    path: PathBuf,
    file: File,
    /// Bytes of whole blocks in the open segment.
    bytes: u64,
    next_offset: Offset,
    poison: Option<String>,
}

impl Log {
    /// Opens the log in `folder`, replays all of it into `visit` and cuts a
    /// torn tail. A new segment begins once one holds `segment_bytes`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where bytes are not what was written.
    pub fn open(
        folder: &Path,
        durability: Durability,
        segment_bytes: u64,
        visit: &mut dyn FnMut(Entry<'_>),
    ) -> Result<Self, StoreError> {
        compact::sweep(folder);
        let (next_offset, last) = read_all(folder, Offset::MAX, visit)?;
        let (path, file, bytes) = match last {
            Some((path, extent)) if extent.whole_bytes > 0 => {
                let file = OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .map_err(StoreError::io("open", &path))?;
                cut_torn_tail(&path, &file, &extent)?;
                (path, file, extent.whole_bytes)
            }
            _ => new_segment(folder, next_offset)?,
        };
        let mut log = Self {
            folder: folder.to_owned(),
            durability,
            segment_bytes,
            path,
            file,
            bytes,
            next_offset,
            poison: None,
        };
        log.rewind().map_err(StoreError::io("seek in", &log.path))?;
        Ok(log)
    }

    /// Offset that the next record will have.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Appends a block and returns the offset of its first record. It is
    /// durable after the next [`Log::commit`].
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for a block over the limit; [`StoreError::Io`]
    /// where the write failed and was taken back whole;
    /// [`StoreError::Poisoned`] where it could not be taken back.
    pub fn append(&mut self, block: &BlockBuilder) -> Result<Offset, StoreError> {
        self.check_poison()?;
        if self.bytes >= self.segment_bytes {
            self.roll()?;
        }
        let first = self.next_offset;
        let payload = block.payload();
        if payload.len() > frame::MAX_PAYLOAD_BYTES {
            return Err(StoreError::TooLarge {
                bytes: payload.len(),
                limit: frame::MAX_PAYLOAD_BYTES,
            });
        }
        let bytes = frame::encode(&payload, block.len(), first);
        if let Err(error) = self.file.write_all(&bytes) {
            let undone = self.file.set_len(self.bytes).and_then(|()| self.rewind());
            if undone.is_err() {
                self.poison = Some(error.to_string());
            }
            return Err(StoreError::io("write to", &self.path)(error));
        }
        self.bytes += bytes.len() as u64;
        self.next_offset += u64::from(block.len());
        Ok(first)
    }

    /// Makes everything appended survive what [`Durability`] promises. After a
    /// failed flush nobody knows what is on disk, so the log refuses writes.
    ///
    /// # Errors
    /// Where the flush failed, now or before.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.check_poison()?;
        if self.durability == Durability::ProcessCrash {
            return Ok(());
        }
        self.sync()
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|error| {
            self.poison = Some(error.to_string());
            StoreError::io("flush", &self.path)(error)
        })
    }

    /// Ends the open segment, so that everything before is in files that are no longer
    /// written to, and begins another; not where the open one holds nothing.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn roll(&mut self) -> Result<(), StoreError> {
        self.check_poison()?;
        if self.bytes <= segment::SEGMENT_HEADER_BYTES as u64 {
            return Ok(());
        }
        self.sync()?;
        let next = new_segment(&self.folder, self.next_offset);
        (self.path, self.file, self.bytes) = next.inspect_err(|error| {
            // What is appended after all goes on in the open segment: one that begins in
            // its middle must not be there.
            let stray = self.folder.join(segment::file_name(self.next_offset));
            if stray.exists() && std::fs::remove_file(&stray).is_err() {
                self.poison = Some(error.to_string());
            }
        })?;
        Ok(())
    }

    fn rewind(&mut self) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(self.bytes)).map(drop)
    }

    fn check_poison(&self) -> Result<(), StoreError> {
        match &self.poison {
            Some(cause) => Err(StoreError::Poisoned(cause.clone())),
            None => Ok(()),
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // An orderly end leaves nothing to the relaxed level's gap.
        let _ = self.file.sync_data();
    }
}

/// Hands out everything in the log before the offset `until`, which must have
/// been appended already.
///
/// # Errors
/// [`StoreError::Damaged`] where bytes are not what was written.
pub fn replay(
    folder: &Path,
    until: Offset,
    visit: &mut dyn FnMut(Entry<'_>),
) -> Result<(), StoreError> {
    read_all(folder, until, visit).map(drop)
}

type LastSegment = Option<(PathBuf, segment::Extent)>;

fn read_all(
    folder: &Path,
    until: Offset,
    visit: &mut dyn FnMut(Entry<'_>),
) -> Result<(Offset, LastSegment), StoreError> {
    let segments = segment::list(folder)?;
    let mut next_offset = segments.first().map_or(0, |(base, _)| *base);
    let mut last = None;
    for (i, (base, path)) in segments.iter().enumerate() {
        if *base >= until {
            break;
        }
        if *base != next_offset {
            return Err(StoreError::Damaged {
                path: path.clone(),
                position: 0,
                offset: next_offset,
                what: format!("the file begins at offset {base}: one before it is missing"),
            });
        }
        let extent = segment::read(path, *base, i + 1 == segments.len(), until, visit)?;
        next_offset = extent.end_offset;
        last = Some((path.clone(), extent));
    }
    Ok((next_offset, last))
}

fn cut_torn_tail(path: &Path, file: &File, extent: &segment::Extent) -> Result<(), StoreError> {
    let torn = extent.file_bytes - extent.whole_bytes;
    if torn > 0 {
        tracing::warn!(
            file = %path.display(), bytes = torn, offset = extent.end_offset,
            "cutting an unacknowledged write that a crash left half done"
        );
        file.set_len(extent.whole_bytes)
            .and_then(|()| file.sync_all())
            .map_err(StoreError::io("cut", path))?;
    }
    Ok(())
}

fn new_segment(folder: &Path, base: Offset) -> Result<(PathBuf, File, u64), StoreError> {
    let path = folder.join(segment::file_name(base));
    let mut file = File::create(&path).map_err(StoreError::io("create", &path))?;
    file.write_all(&segment::header(base))
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(StoreError::io("write to", &path))?;
    Ok((path, file, segment::SEGMENT_HEADER_BYTES as u64))
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::*;

    const ROUNDS: u128 = 40;

    /// Writes `ROUNDS` acknowledged batches of two records, in segments so
    /// small that several files come about.
    fn written(folder: &Path) {
        let mut log = Log::open(folder, Durability::PowerLoss, 400, &mut |_| {}).unwrap();
        for round in 0..ROUNDS {
            let mut block = BlockBuilder::default();
            block.define_user(&format!("user-{round}"));
            block.push(&Record::Imported(2 * round));
            block.push(&Record::Imported(2 * round + 1));
            log.append(&block).unwrap();
            log.commit().unwrap();
        }
    }

    fn open(folder: &Path) -> Result<(Log, Vec<u128>), StoreError> {
        let mut seen = Vec::new();
        let log = Log::open(folder, Durability::PowerLoss, 400, &mut |entry| {
            if let Entry::Record(_, Record::Imported(n)) = entry {
                seen.push(n);
            }
        })?;
        Ok((log, seen))
    }

    fn all() -> Vec<u128> {
        (0..2 * ROUNDS).collect()
    }

    #[test]
    fn everything_comes_back_in_order_and_writing_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        assert!(segment::list(dir.path()).unwrap().len() > 3);
        let (mut log, seen) = open(dir.path()).unwrap();
        assert_eq!(seen, all());
        let mut block = BlockBuilder::default();
        block.push(&Record::Imported(999));
        assert_eq!(log.append(&block).unwrap(), 80);
        log.commit().unwrap();
        let mut until_80 = 0;
        replay(dir.path(), 80, &mut |e| until_80 += i32::from(matches!(e, Entry::Record(..))))
            .unwrap();
        assert_eq!(until_80, 80);
        drop(log);
        assert_eq!(open(dir.path()).unwrap().1.last(), Some(&999));
    }

    #[test]
    fn a_flipped_byte_anywhere_is_an_error_and_never_silence() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        for (_, path) in segment::list(dir.path()).unwrap() {
            let good = std::fs::read(&path).unwrap();
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 0x10;
                std::fs::write(&path, &bad).unwrap();
                let error = open(dir.path()).map(|(_, seen)| seen.len()).unwrap_err();
                assert!(error.to_string().contains("the log is damaged"), "{error}");
            }
            std::fs::write(&path, &good).unwrap();
        }
        assert_eq!(open(dir.path()).unwrap().1, all());
    }

    #[test]
    fn a_torn_tail_is_cut_to_the_last_whole_batch() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        let (_, path) = segment::list(dir.path()).unwrap().pop().unwrap();
        let good = std::fs::read(&path).unwrap();
        for len in 0..good.len() {
            std::fs::write(&path, &good[..len]).unwrap();
            let (_, seen) = open(dir.path()).unwrap();
            assert_eq!(seen.len() % 2, 0, "half a batch at {len}");
            assert_eq!(seen, all()[..seen.len()]);
            // The log is whole again: a second look finds the same.
            assert_eq!(open(dir.path()).unwrap().1, seen);
        }
    }

    #[test]
    fn zeros_that_power_loss_leaves_are_a_torn_tail() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        let (_, path) = segment::list(dir.path()).unwrap().pop().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(&[0; 700]);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(open(dir.path()).unwrap().1, all());
    }

    #[test]
    fn a_missing_segment_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        let (_, path) = segment::list(dir.path()).unwrap().swap_remove(1);
        std::fs::remove_file(path).unwrap();
        let error = open(dir.path()).map(drop).unwrap_err();
        assert!(error.to_string().contains("one before it is missing"), "{error}");
    }

    #[test]
    fn a_segment_that_cannot_begin_leaves_the_open_one_to_go_on_in() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = open(dir.path()).unwrap();
        let block = |n| {
            let mut block = BlockBuilder::default();
            block.push(&Record::Imported(n));
            block
        };
        log.append(&block(1)).unwrap();
        let folder = std::mem::replace(&mut log.folder, dir.path().join("not there"));
        assert!(log.roll().is_err());
        log.folder = folder;
        log.append(&block(2)).unwrap();
        log.roll().unwrap();
        log.append(&block(3)).unwrap();
        log.commit().unwrap();
        drop(log);
        assert_eq!(segment::list(dir.path()).unwrap().len(), 2);
        assert_eq!(open(dir.path()).unwrap().1, [1, 2, 3]);
    }

    #[test]
    fn a_write_that_cannot_be_taken_back_stops_all_later_ones() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = open(dir.path()).unwrap();
        let mut block = BlockBuilder::default();
        block.push(&Record::Imported(1));
        log.append(&block).unwrap();
        log.commit().unwrap();
        // A handle that can be neither written nor truncated stands in for the disk.
        let real = std::mem::replace(&mut log.file, File::open(&log.path).unwrap());
        let refused = log.append(&block).unwrap_err();
        assert!(refused.to_string().starts_with("write to"), "{refused}");
        log.file = real;
        assert!(matches!(log.append(&block), Err(StoreError::Poisoned(_))));
        drop(log);
        assert_eq!(open(dir.path()).unwrap().1, [1]);
    }
}
