//! The log's writer: appends blocks, makes them durable, rolls over to a new segment.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use prometheus_client::metrics::histogram::Histogram;

use super::block::{BlockBuilder, Entry};
use super::copied::CopiedBlock;
use super::ledger::{self, Begins, Ledger};
use super::mark::{self, Acknowledged, Mark};
use super::open_segment::OpenSegment;
use super::options::{Durability, Opening};
use super::proof::Proof;
use super::replay::{Names, read_all};
use super::witness::Witness;
use super::{StoreError, compact, files, frame, segment, witness};
use crate::domain::Offset;
use crate::telemetry::latency;

/// The writer of a log; there is one per store, owned by one thread.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    opening: Opening,
    open: OpenSegment,
    ledger: Ledger,
    mark: Mark,
    names: Names,
    next_offset: Offset,
    /// Files that must lie where they were opened, for a write to be found again.
    watched: Vec<Witness>,
    poison: Option<String>,
    flush_seconds: Histogram,
}

impl Log {
    /// Opens the log in `folder`, replays it into `visit` from where `opening` says, and cuts a torn tail.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where bytes are not what was written, [`StoreError::Lost`] where
    /// files or acknowledged records are missing, [`StoreError::InUse`] where another process
    /// writes to it.
    pub fn open(
        folder: &Path,
        opening: Opening,
        visit: &mut dyn FnMut(Entry<'_>),
    ) -> Result<Self, StoreError> {
        compact::sweep(folder)?;
        let Proof { listed, acknowledged } = Proof::of(folder, opening)?;
        let read = read_all(folder, acknowledged, (opening.from, Offset::MAX), visit)?;
        if read.end < acknowledged.offset {
            return Err(segment::shorter(folder, read.end, acknowledged.offset));
        }

        let open = match read.last {
            Some((path, extent)) if extent.whole_bytes > 0 => {
                OpenSegment::continued(path, &extent)?
            }
            _ => OpenSegment::begin(folder, read.end)?,
        };

        let known = listed.segments.iter().filter(|listed| listed.base < opening.from.base);
        let mut segments: Vec<Begins> = known.copied().chain(read.segments).collect();
        if segments.is_empty() {
            segments.push(Begins::default());
        }

        let ledger = Ledger { segments };
        if !ledger.segments.starts_with(&listed.segments) {
            let what = "the log's files define other names, or begin elsewhere, than it lists";
            return Err(StoreError::lost(&ledger::path(folder), what));
        }

        if ledger != listed {
            ledger.write(folder)?;
        }

        let mark_path = mark::path(folder);
        let mut log = Self {
            folder: folder.to_owned(),
            opening,
            open,
            ledger,
            mark: Mark::open(folder).map_err(StoreError::io("open", &mark_path))?,
            names: read.names,
            next_offset: read.end,
            watched: Vec::new(),
            poison: None,
            flush_seconds: latency::histogram(),
        };

        // What was read may have been in the page cache only.
        log.flush()?;
        log.set_mark().map_err(StoreError::io("write to", &mark_path))?;
        log.mark.sync().map_err(StoreError::io("flush", &mark_path))?;
        files::sync_folder(folder).map_err(StoreError::io("flush", folder))?;
        Ok(log)
    }

    /// Offset that the next record will have.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// The next record's offset, and the number of users and items named before it.
    pub fn begins(&self) -> Begins {
        let Names { users, items } = self.names;
        Begins { base: self.next_offset, users, items }
    }

    /// How long flushes take; shared with the log.
    pub fn flush_seconds(&self) -> Histogram {
        self.flush_seconds.clone()
    }

    /// Refuses writes once this file has been moved or removed.
    pub fn watch(&mut self, witness: Witness) {
        self.watched.push(witness);
    }

    /// Why writes are refused until a restart; none while they are accepted.
    pub fn poison(&self) -> Option<&str> {
        self.poison.as_deref()
    }

    /// Appends a block and returns the offset of its first record. It is durable after the next
    /// [`Log::commit`].
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for a block over the limit; [`StoreError::Io`] where the write
    /// failed and was undone; [`StoreError::Poisoned`] where it could not be undone.
    pub fn append(&mut self, block: &BlockBuilder) -> Result<Offset, StoreError> {
        let payload = block.payload();
        if payload.len() > frame::MAX_PAYLOAD_BYTES {
            return Err(StoreError::TooLarge {
                bytes: payload.len(),
                limit: frame::MAX_PAYLOAD_BYTES,
            });
        }
        let (users, items) = block.defined();
        self.write(block.len(), Names { users, items }, |first| {
            Cow::Owned(frame::encode(&payload, block.len(), first))
        })
    }

    /// Appends a block of another log as it is, which must begin where this log ends.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where it begins elsewhere; as [`Log::append`].
    pub fn append_copy(&mut self, block: &CopiedBlock) -> Result<Offset, StoreError> {
        let first = block.header.first_offset;
        if first != self.next_offset {
            return Err(StoreError::Damaged {
                path: self.open.path.clone(),
                position: self.open.bytes,
                offset: self.next_offset,
                what: format!("the block to append begins at offset {first}"),
            });
        }
        self.write(block.header.records, block.defined, |_| Cow::Borrowed(&block.bytes))
    }

    /// Writes a block, in the next file where the open one is full; `bytes` makes it for its offset.
    fn write<'b>(
        &mut self,
        records: u32,
        defined: Names,
        bytes: impl FnOnce(Offset) -> Cow<'b, [u8]>,
    ) -> Result<Offset, StoreError> {
        self.check_poison()?;
        if self.open.bytes >= self.opening.segment_bytes {
            self.roll()?;
        }

        let first = self.next_offset;
        let bytes = bytes(first);
        if let Err(error) = self.open.file.write_all(&bytes) {
            if self.open.take_back().is_err() {
                self.poison = Some(error.to_string());
            }
            return Err(StoreError::io("write to", &self.open.path)(error));
        }

        self.names.users += defined.users;
        self.names.items += defined.items;
        self.open.bytes += bytes.len() as u64;
        self.next_offset += u64::from(records);
        Ok(first)
    }

    /// Makes all appended blocks survive what [`Durability`] promises, and checks that a restart
    /// will find them. After a failed flush the state of the disk is unknown, so the log refuses
    /// writes.
    ///
    /// # Errors
    /// Where the flush failed, now or before; [`StoreError::Removed`] where a watched file was
    /// moved or removed.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.check_poison()?;
        if self.opening.durability == Durability::PowerLoss {
            self.flush()?;
        }

        let watched = self.watched.iter().try_for_each(Witness::check);
        let open = &self.open;
        watched.and_then(|()| witness::check(&open.path, &open.file)).inspect_err(|error| {
            self.poison = Some(error.to_string());
        })
    }

    /// Flushes all appended blocks, whatever the durability, and marks them as on disk.
    ///
    /// # Errors
    /// Where the flush failed, now or before.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.check_poison()?;
        let began = Instant::now();
        self.open.file.sync_data().map_err(|error| {
            self.poison = Some(error.to_string());
            StoreError::io("flush", &self.open.path)(error)
        })?;
        self.flush_seconds.observe(began.elapsed().as_secs_f64());

        if let Err(error) = self.set_mark() {
            // The mark before is still true, and proves a little less.
            tracing::warn!(%error, "the durable mark could not be written");
        }
        Ok(())
    }

    fn set_mark(&mut self) -> io::Result<()> {
        let ordered = self.opening.durability == Durability::PowerLoss;
        self.mark.set(Acknowledged { offset: self.next_offset, ordered })
    }

    /// Closes the open segment and begins another; nothing where the open one is empty.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn roll(&mut self) -> Result<(), StoreError> {
        self.check_poison()?;
        if self.open.bytes <= segment::SEGMENT_HEADER_BYTES as u64 {
            return Ok(());
        }

        self.flush()?;
        self.mark.sync().map_err(StoreError::io("flush", &mark::path(&self.folder)))?;

        match self.begin_next() {
            Ok(open) => self.open = open,
            Err(error) => {
                if self.take_back_next().is_err() {
                    self.poison = Some(error.to_string());
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Creates the next segment, and lists it before anything is written to it.
    fn begin_next(&mut self) -> Result<OpenSegment, StoreError> {
        let open = OpenSegment::begin(&self.folder, self.next_offset)?;
        self.ledger.segments.push(self.begins());
        self.ledger.write(&self.folder)?;
        Ok(open)
    }

    /// Undoes the next segment: appending continues in the open one, and a segment that begins in
    /// its middle must neither exist nor be listed.
    fn take_back_next(&mut self) -> Result<(), StoreError> {
        let listed = self.ledger.segments.pop_if(|listed| listed.base == self.next_offset);
        if listed.is_some() {
            self.ledger.write(&self.folder)?;
        }

        let stray = self.folder.join(segment::file_name(self.next_offset));
        match std::fs::remove_file(&stray) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed
                .and_then(|()| files::sync_folder(&self.folder))
                .map_err(StoreError::io("remove", &stray)),
        }
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
        // An orderly close leaves nothing unflushed.
        if self.flush().is_ok() {
            let _ = self.mark.sync();
        }
    }
}

#[cfg(test)]
mod tests;
