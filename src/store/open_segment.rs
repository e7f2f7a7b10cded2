//! The open segment of the log.

use std::fs::{File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{StoreError, files, segment};
use crate::domain::Offset;

/// The open segment; locked, so that no other process writes to it.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Bytes of whole blocks.
    pub(super) bytes: u64,
}

impl OpenSegment {
    /// Continues a segment that was read, without its torn tail.
    pub(super) fn continued(path: PathBuf, extent: &segment::Extent) -> Result<Self, StoreError> {
        let file = files::open_or_create(&path).map_err(StoreError::io("open", &path))?;
        let mut segment = Self { path, file, bytes: extent.whole_bytes };
        segment.lock()?;

        let torn = extent.file_bytes - extent.whole_bytes;
        if torn > 0 {
            tracing::warn!(
                file = %segment.path.display(), bytes = torn, offset = extent.end_offset,
                "cutting an unacknowledged write that a crash left incomplete"
            );
            let cut = segment.file.set_len(extent.whole_bytes);
            cut.and_then(|()| segment.file.sync_all())
                .map_err(StoreError::io("cut", &segment.path))?;
        }

        segment.rewind().map_err(StoreError::io("seek in", &segment.path))?;
        Ok(segment)
    }

    /// Begins a segment whose first record will have `base` as its offset.
    pub(super) fn begin(folder: &Path, base: Offset) -> Result<Self, StoreError> {
        let path = folder.join(segment::file_name(base));
        let file = files::open_or_create(&path).map_err(StoreError::io("create", &path))?;
        let mut segment = Self { path, file, bytes: segment::SEGMENT_HEADER_BYTES as u64 };
        segment.lock()?;

        let written = segment.file.set_len(0).and_then(|()| {
            segment.file.write_all(&segment::header(base))?;
            segment.file.sync_all()?;
            files::sync_folder(folder)
        });
        written.map_err(StoreError::io("write to", &segment.path))?;
        Ok(segment)
    }

    fn lock(&self) -> Result<(), StoreError> {
        match self.file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: self.path.clone() }),
            Err(TryLockError::Error(e)) => Err(StoreError::io("lock", &self.path)(e)),
        }
    }

    /// Removes a failed write from its end.
    pub(super) fn take_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.rewind()
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.bytes)).map(drop)
    }
}
