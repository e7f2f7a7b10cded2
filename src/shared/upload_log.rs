//! Uploads a log: what was appended, as soon as it was, and parts that were rewritten without erased users.
//!
//! A part that is uploaded is small where little is written. Eight of one size in a row become one, of up to
//! 64 MiB, so that a log has few parts, and each byte is uploaded a few times (the tiers of a log-structured
//! merge tree; O'Neil et al., 1996).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::board::{Board, Kind};
use super::notes::{LogNote, SegmentNote};
use crate::domain::{BoxError, Offset};
use crate::engine::{Source, wait_for};
use crate::host::Hosted;
use crate::objects::{Bucket, Piece};
use crate::store::LogTail;
use crate::store::folder::FORMAT;
use crate::telemetry::Failing;

/// Bytes of a part that is uploaded at once.
const PART_BYTES: usize = 8 << 20;
/// Number of parts of one size that become one.
const FEW: usize = 8;
/// Bytes that a part has at most, and above which it stays as it is.
const MAX_PART: u64 = 64 << 20;
const LARGE: u64 = 32 << 20;
/// Bytes up to which parts are of the smallest size.
const SMALL: u64 = 1 << 10;

/// Uploads the log of one store.
pub(super) struct LogUpload {
    bucket: Bucket,
    board: Arc<Board>,
    store: Arc<Hosted>,
    source: Source,
    note: LogNote,
    every: Duration,
    /// Whether parts may be others here than they were uploaded.
    is_owed: bool,
}

impl LogUpload {
    pub(super) fn new(
        bucket: Bucket,
        board: Arc<Board>,
        store: Arc<Hosted>,
        every: Duration,
    ) -> Self {
        let source = store.engine.source();
        // The server that wrote before may have ended between rewriting and uploading.
        let is_owed = !source.holds_erased();
        Self { bucket, board, store, source, note: LogNote::default(), every, is_owed }
    }

    /// Uploads what is appended, again and again, until the store closes.
    pub(super) async fn run(mut self) {
        let mut failing = Failing::new("the log is not uploaded");
        let engine = self.store.engine.clone();
        let work = async {
            loop {
                if let Err(error) = self.upload(&mut failing).await {
                    failing.again(&self.store.name, error.to_string());
                }
                tokio::time::sleep(self.every).await;
            }
        };
        engine.unless_closing(work).await;
    }

    /// Uploads as long as nothing fails.
    async fn upload(&mut self, failing: &mut Failing) -> Result<(), BoxError> {
        self.note = self.uploaded().await?;
        let mut end = self.source.log_end();
        let mut rewritings = self.source.rewritings();
        let mut tail = self.tail_from(self.note.end()).await?;
        self.announce().await?;
        loop {
            self.is_owed |= rewritings.has_changed()?;
            if self.is_owed {
                rewritings.mark_unchanged();
                self.renew().await?;
                self.is_owed = false;
            }
            let until = *end.borrow_and_update();
            tail = self.append(tail, until).await?;
            self.board.set_whole(&self.store, true);
            failing.ended(&self.store.name);
            wait(&mut end, &mut rewritings, self.every).await?;
        }
    }

    /// Uploads what is left once nothing is written any more.
    pub(super) async fn finish(mut self) -> Result<(), BoxError> {
        self.note = self.uploaded().await?;
        let tail = self.tail_from(self.note.end()).await?;
        let until = *self.source.log_end().borrow();
        self.append(tail, until).await?;
        self.board.set_whole(&self.store, true);
        Ok(())
    }

    /// What is uploaded already. It is a part of this log: otherwise this server would not write.
    async fn uploaded(&self) -> Result<LogNote, BoxError> {
        let log = self.board.of(&self.store).log;
        let Some(piece) = log else { return Ok(LogNote::default()) };
        match self.bucket.get_piece(&piece).await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.is_loss() => {
                tracing::warn!(%error, "the log is uploaded anew");
                self.board.set_whole(&self.store, false);
                Ok(LogNote::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn tail_from(&self, from: Offset) -> Result<LogTail, BoxError> {
        let source = self.source.clone();
        Ok(wait_for(move || source.tail_from(from)).await?)
    }

    /// Uploads the log from where `tail` is up to `until`. Each part is announced at once: what is uploaded is not
    /// uploaded again after a failure, and nothing waits for long without a reference.
    async fn append(&mut self, mut tail: LogTail, until: Offset) -> Result<LogTail, BoxError> {
        let bucket = self.bucket.clone();
        while tail.offset() < until {
            let _turn = bucket.turn().await;
            let begins = tail.offset();
            let (rest, blocks) = wait_for(move || {
                let blocks = tail.read(until, PART_BYTES)?;
                Ok((tail, blocks))
            })
            .await?;
            tail = rest;
            let segment = self.put(begins, tail.offset(), blocks).await?;
            self.note.segments.push(segment);
            self.merge().await?;
            self.announce().await?;
        }
        Ok(tail)
    }

    /// Makes few parts of many.
    async fn merge(&mut self) -> Result<(), BoxError> {
        while let Some(range) = mergeable(&self.note.segments) {
            let merged = &self.note.segments[range.clone()];
            let (begins, end) = (merged[0].begins, merged[merged.len() - 1].end);
            let blocks = self.read(begins, end).await?;
            let segment = self.put(begins, end, blocks).await?;
            self.note.segments.splice(range, [segment]);
        }
        Ok(())
    }

    /// Uploads the parts anew that are not as they are here any more.
    async fn renew(&mut self) -> Result<(), BoxError> {
        for at in 0..self.note.segments.len() {
            let SegmentNote { begins, end, ref piece, .. } = self.note.segments[at];
            let blocks = self.read(begins, end).await?;
            if Piece::of(&blocks) != *piece {
                self.note.segments[at] = self.put(begins, end, blocks).await?;
                self.announce().await?;
            }
        }
        Ok(())
    }

    async fn read(&self, begins: Offset, end: Offset) -> Result<Vec<u8>, BoxError> {
        let source = self.source.clone();
        let read = wait_for(move || Ok(source.tail_from(begins)?.read(end, usize::MAX)?));
        Ok(read.await?)
    }

    async fn put(
        &self,
        begins: Offset,
        end: Offset,
        blocks: Vec<u8>,
    ) -> Result<SegmentNote, BoxError> {
        let bytes = blocks.len() as u64;
        self.board.hold(&self.store, Kind::Log, Piece::of(&blocks));
        let piece = self.bucket.put_piece(blocks).await?;
        Ok(SegmentNote { begins, end, bytes, piece })
    }

    /// Announces what is uploaded.
    async fn announce(&mut self) -> Result<(), BoxError> {
        self.note.format = FORMAT;
        self.note.key = self.source.position().key;
        self.note.writers = (*self.source.writers()).clone();
        let piece = self.bucket.put_piece(serde_json::to_vec(&self.note)?).await?;
        self.board.set_log(&self.store, piece, self.note.end());
        Ok(())
    }
}

/// Waits for something to upload, at least for `every`.
async fn wait(
    end: &mut watch::Receiver<Offset>,
    rewritings: &mut watch::Receiver<u64>,
    every: Duration,
) -> Result<(), BoxError> {
    tokio::select! {
        changed = end.changed() => changed?,
        changed = rewritings.changed() => {
            changed?;
            rewritings.mark_changed();
        }
    }
    tokio::time::sleep(every).await;
    Ok(())
}

/// The parts at the end that become one.
fn mergeable(segments: &[SegmentNote]) -> Option<Range<usize>> {
    let size = |segment: &SegmentNote| (segment.bytes.max(SMALL) / SMALL).ilog(FEW as u64);
    let last = segments.last().filter(|last| last.bytes < LARGE)?;
    let of_size = segments.iter().rev().take_while(|segment| size(segment) == size(last));
    let begin = segments.len() - of_size.count();
    if segments.len() - begin < FEW {
        return None;
    }

    let mut bytes = 0;
    let fitting = segments[begin..].iter().take_while(|segment| {
        bytes += segment.bytes;
        bytes <= MAX_PART
    });
    let count = fitting.count();
    (count > 1).then_some(begin..begin + count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_few_and_no_byte_is_uploaded_often() {
        for (bytes, count) in [(900, 20_000), (300_000, 5_000), (8 << 20, 300)] {
            let mut segments: Vec<SegmentNote> = Vec::new();
            let (mut written, mut longest) = (0, 0);
            for n in 0..count {
                let piece = Piece::of(b"");
                segments.push(SegmentNote { begins: n, end: n + 1, bytes, piece });
                written += bytes;
                while let Some(range) = mergeable(&segments) {
                    let merged = &segments[range.clone()];
                    let bytes = merged.iter().map(|segment| segment.bytes).sum();
                    assert!(bytes <= MAX_PART);
                    written += bytes;
                    let (begins, end) = (merged[0].begins, merged[merged.len() - 1].end);
                    let piece = Piece::of(b"");
                    segments.splice(range, [SegmentNote { begins, end, bytes, piece }]);
                }
                longest = longest.max(segments.len());
            }

            let total = bytes * count;
            assert!(segments.windows(2).all(|pair| pair[0].end == pair[1].begins));
            assert_eq!(segments.iter().map(|segment| segment.bytes).sum::<u64>(), total);
            let large = (total / LARGE) as usize;
            assert!(longest <= 50 + large, "{bytes}: {longest} parts");
            assert!(written <= 6 * total, "{bytes}: each byte {} times", written / total);
        }
    }
}
