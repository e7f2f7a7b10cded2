//! Objects that never change. Their names are the checksums of their contents, so that a reader knows whether
//! what it got is what was written, an upload that was cut off goes on with what is missing, and what is the
//! same is stored once.
//!
//! Pieces that nothing refers to any more are swept once they are old enough, by the store's clock: a server
//! may have read the reference just before, or be about to write one.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{Bucket, ObjectError};

/// Where pieces are.
const FOLDER: &str = "objects";
/// Pieces that are deleted at once.
const AT_ONCE: usize = 16;
/// An object that is written to learn the time of the store's clock.
const CLOCK: &str = "CLOCK";

/// The name of a piece: the BLAKE3 checksum of its content, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Piece(String);

impl Piece {
    /// The piece with this content.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex().to_string())
    }

    /// Its checksum, in hex.
    pub fn checksum(&self) -> &str {
        &self.0
    }

    fn name(&self) -> String {
        format!("{FOLDER}/{}/{}", self.0.get(..2).unwrap_or_default(), self.0)
    }
}

impl Bucket {
    /// Writes a piece.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails.
    pub async fn put_piece(&self, bytes: Vec<u8>) -> Result<Piece, ObjectError> {
        let piece = Piece::of(&bytes);
        self.put(&piece.name(), bytes).await?;
        Ok(piece)
    }

    /// Writes a piece, unless it is there and was written within half of `keep` before `now_ms`, a time of the
    /// store's clock: an older one may be swept before it is referred to.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails.
    pub async fn put_piece_once(
        &self,
        bytes: Vec<u8>,
        keep: Duration,
        now_ms: i64,
    ) -> Result<Piece, ObjectError> {
        let piece = Piece::of(&bytes);
        let half_ms = (keep / 2).as_millis() as i64;
        let is_young = |written_ms: i64| now_ms - written_ms < half_ms;
        if !self.modified_ms(&piece.name()).await?.is_some_and(is_young) {
            self.put(&piece.name(), bytes).await?;
        }
        Ok(piece)
    }

    /// The time of the store's clock, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails.
    pub async fn now_ms(&self) -> Result<i64, ObjectError> {
        self.put(CLOCK, Vec::new()).await?;
        let written = self.modified_ms(CLOCK).await?;
        written.ok_or_else(|| ObjectError::Missing(CLOCK.to_owned()))
    }

    /// Reads a piece.
    ///
    /// # Errors
    /// [`ObjectError::Missing`] where it is not there, [`ObjectError::Damaged`] where it is not what was
    /// written, others where the store fails.
    pub async fn get_piece(&self, piece: &Piece) -> Result<Vec<u8>, ObjectError> {
        let name = piece.name();
        let is_name = piece.0.len() == 64 && piece.0.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_name {
            return Err(ObjectError::damaged(&name, "it is no name of a piece"));
        }
        let found = self.get(&name).await?;
        let bytes = found.ok_or_else(|| ObjectError::Missing(name.clone()))?.bytes;
        if Piece::of(&bytes) != *piece {
            return Err(ObjectError::damaged(&name, "its bytes do not match its checksum"));
        }
        Ok(bytes)
    }

    /// Deletes the pieces that are none of `kept` and were written more than `keep` before `now_ms`, a time of
    /// the store's clock; returns their number.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails.
    pub async fn sweep_pieces(
        &self,
        kept: &HashSet<Piece>,
        keep: Duration,
        now_ms: i64,
    ) -> Result<usize, ObjectError> {
        let kept: HashSet<String> = kept.iter().map(Piece::name).collect();
        let before_ms = now_ms - keep.as_millis() as i64;
        let mut swept = 0;
        let mut sweeping: JoinSet<Result<bool, ObjectError>> = JoinSet::new();

        for listed in self.list(FOLDER).await? {
            if listed.modified_ms >= before_ms || kept.contains(&listed.name) {
                continue;
            }
            if sweeping.len() >= AT_ONCE
                && let Some(done) = sweeping.join_next().await
            {
                swept += usize::from(done.map_err(std::io::Error::other)??);
            }
            sweeping.spawn(self.clone().sweep_piece(listed.name, before_ms));
        }
        while let Some(done) = sweeping.join_next().await {
            swept += usize::from(done.map_err(std::io::Error::other)??);
        }
        Ok(swept)
    }

    /// Deletes a piece, unless it was written again meanwhile; returns whether it is deleted.
    async fn sweep_piece(self, name: String, before_ms: i64) -> Result<bool, ObjectError> {
        let written = self.modified_ms(&name).await?;
        let is_old = written.is_some_and(|written_ms| written_ms < before_ms);
        if is_old {
            self.delete(&name).await?;
        }
        Ok(is_old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_piece_is_what_was_written_and_goes_when_nothing_refers_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = Bucket::open(&format!("file://{}", folder.path().display())).unwrap();
        let minute = Duration::from_secs(60);
        let one = bucket.put_piece(b"one".to_vec()).await.unwrap();
        let two = bucket.put_piece(b"two".to_vec()).await.unwrap();
        assert_eq!(bucket.get_piece(&one).await.unwrap(), b"one");

        let now = bucket.now_ms().await.unwrap();
        let later = now + 120_000;
        let written = |piece: &Piece| std::fs::metadata(folder.path().join(piece.name())).unwrap();
        let before = written(&one).modified().unwrap();
        for (now, is_written) in [(now, false), (later, true)] {
            bucket.put_piece_once(b"one".to_vec(), minute, now).await.unwrap();
            assert_eq!(written(&one).modified().unwrap() != before, is_written);
        }

        let kept = HashSet::from([one.clone()]);
        assert_eq!(bucket.sweep_pieces(&kept, minute, now).await.unwrap(), 0, "young");
        assert_eq!(bucket.sweep_pieces(&kept, minute, later).await.unwrap(), 1);
        assert!(matches!(bucket.get_piece(&two).await, Err(ObjectError::Missing(_))));

        std::fs::write(folder.path().join(one.name()), "eno").unwrap();
        let damaged = bucket.get_piece(&one).await.unwrap_err().to_string();
        assert!(damaged.contains("checksum"), "{damaged}");
        let outside = Piece("../../etc".to_owned());
        assert!(bucket.get_piece(&outside).await.is_err());
    }
}
