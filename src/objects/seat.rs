//! A lease in an object: one server at a time has the seat, and renews what the object says of it. Another may
//! take the seat once it was left, or once the object has not changed for the time that its lease lasts.
//!
//! No clock is compared with another. Who holds the seat counts the lease from before the object was written, who
//! waits for it from after it was read; both write it only in the state that they have read. So one has stopped
//! before the other begins, however far their clocks are apart, as long as they run at the same pace within a
//! tenth (leases of Gray and Cheriton, 1989; leader election of Kubernetes' client-go works in the same way).

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Bucket, Found, ObjectError, Version};
use crate::domain::Held;
use crate::store::sealed;

/// What an object says of the seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Who has it, new with every start of a server: a UUID.
    pub holder: String,
    /// Number of the object's content, each higher than those before.
    pub beat: u64,
    /// Number of a content that was known to be written before this one was put together; 0: of none.
    pub after: u64,
    /// Length of a lease in milliseconds.
    pub lease_ms: u64,
    /// Whether the holder has left.
    pub is_left: bool,
}

/// The content of the object: what its holder announces, with the seat.
pub trait Seated: Serialize + DeserializeOwned + Clone + Send {
    /// The object's name.
    const NAME: &'static str;
    /// The seat.
    fn seat(&mut self) -> &mut Seat;
}

/// The outcome of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The seat is held on.
    Held,
    /// Another has it.
    Lost,
}

/// A server's view of a seat.
#[derive(Debug)]
pub struct Chair {
    bucket: Bucket,
    id: String,
    lease: Duration,
    held: Arc<Held>,
    /// The state of the object that was seen last, and since when it is the same.
    seen: Option<(Version, Instant)>,
}

impl Chair {
    /// A view that has seen nothing yet. A lease that is held lasts for `lease`, and is noted in `held`.
    pub fn new(bucket: Bucket, lease: Duration, held: Arc<Held>) -> Self {
        Self { bucket, id: uuid::Uuid::now_v7().to_string(), lease, held, seen: None }
    }

    /// The server's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether this server holds the seat now.
    pub fn is_held(&self) -> bool {
        self.held.holds()
    }

    /// The seat as this server would have it, after the content `after` was written.
    pub fn seat(&self, after: u64) -> Seat {
        let lease_ms = self.lease.as_millis() as u64;
        Seat { holder: self.id.clone(), beat: after + 1, after, lease_ms, is_left: false }
    }

    /// Reads the object; none where there is none.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails, or the object is not what was written.
    pub async fn look<N: Seated>(&mut self) -> Result<Option<N>, ObjectError> {
        let patience = self.lease / 3;
        let read = tokio::time::timeout(patience, self.bucket.get(N::NAME)).await;
        let Some(Found { bytes, version }) = read.unwrap_or(Err(ObjectError::Silent(patience)))?
        else {
            self.seen = None;
            return Ok(None);
        };
        let damaged = |what: String| ObjectError::damaged(N::NAME, what);
        let content = sealed::unseal_strictly(&bytes).map_err(damaged)?;
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != version) {
            self.seen = Some((version, Instant::now()));
        }
        Ok(Some(content))
    }

    /// Whether the seat may be taken, as the object was when it was looked at.
    pub fn is_free(&self, seat: &Seat) -> bool {
        let lease = Duration::from_millis(seat.lease_ms);
        let is_over = |(_, since): &(Version, Instant)| since.elapsed() > lease;
        seat.is_left || self.seen.as_ref().is_some_and(is_over)
    }

    /// Writes the object in the place of the one that was looked at last.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails, or takes longer than a third of the lease: whether it is written is
    /// not known then, and it may be written again.
    pub async fn write<N: Seated>(&mut self, content: &N) -> Result<Renewed, ObjectError> {
        let asked = Instant::now();
        let patience = self.lease / 3;
        let written = tokio::time::timeout(patience, self.replace(content)).await;
        let written = written.unwrap_or(Err(ObjectError::Silent(patience)))?;
        let Some(version) = written else {
            self.held.end();
            return Ok(Renewed::Lost);
        };
        self.seen = Some((version, Instant::now()));
        if !content.clone().seat().is_left {
            // Clocks may run at a tenth's difference: others wait for the whole of it.
            self.held.extend(asked, self.lease * 10 / 11);
        }
        Ok(Renewed::Held)
    }

    /// Replaces the object that was seen last, or one that this server has written since, where the answer to
    /// that did not arrive; none where another has.
    async fn replace<N: Seated>(&self, content: &N) -> Result<Option<Version>, ObjectError> {
        let bytes = sealed::seal(content).map_err(|e| ObjectError::damaged(N::NAME, e))?;
        let before = self.seen.as_ref().map(|(version, _)| version);
        let written = self.bucket.replace(N::NAME, before, bytes.clone()).await?;
        if written.is_some() {
            return Ok(written);
        }
        let Some(found) = self.bucket.get(N::NAME).await? else { return Ok(None) };
        let read = sealed::unseal_strictly(&found.bytes);
        let mut read: N = read.map_err(|what: String| ObjectError::damaged(N::NAME, what))?;
        if read.seat().holder != self.id {
            return Ok(None);
        }
        self.bucket.replace(N::NAME, Some(&found.version), bytes).await
    }

    /// Leaves the seat to others, at once.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails: others take the seat once its lease has ended.
    pub async fn leave<N: Seated>(&mut self, mut content: N) -> Result<(), ObjectError> {
        self.held.end();
        content.seat().beat += 1;
        content.seat().is_left = true;
        self.write(&content).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Note {
        seat: Seat,
    }

    impl Seated for Note {
        const NAME: &'static str = "SEAT";
        fn seat(&mut self) -> &mut Seat {
            &mut self.seat
        }
    }

    fn chair(folder: &std::path::Path, lease_ms: u64) -> Chair {
        let bucket = Bucket::open(&format!("file://{}", folder.display())).unwrap();
        Chair::new(bucket, Duration::from_millis(lease_ms), Arc::default())
    }

    #[tokio::test]
    async fn the_holder_stops_before_another_may_begin() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (chair(folder.path(), 4_400), chair(folder.path(), 4_400));
        let begun = Instant::now();
        let note = Note { seat: one.seat(0) };
        assert_eq!(one.write(&note).await.unwrap(), Renewed::Held);
        let seen: Note = other.look().await.unwrap().unwrap();
        // Ten elevenths of the lease, and less than the whole.
        tokio::time::sleep_until((begun + Duration::from_millis(4_100)).into()).await;
        assert!(!one.held.holds() && !other.is_free(&seen.seat));
    }

    #[tokio::test]
    async fn one_has_the_seat_until_it_is_left_or_silent() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (chair(folder.path(), 300), chair(folder.path(), 300));
        assert!(one.look::<Note>().await.unwrap().is_none());
        let mut note = Note { seat: one.seat(0) };
        assert_eq!(one.write(&note).await.unwrap(), Renewed::Held);
        assert!(one.held.holds());

        let seen: Note = other.look().await.unwrap().unwrap();
        assert!(!other.is_free(&seen.seat));
        tokio::time::sleep(Duration::from_millis(200)).await;
        note.seat.beat = 2;
        assert_eq!(one.write(&note).await.unwrap(), Renewed::Held);
        // As where the answer to the last one did not arrive.
        one.seen = None;
        note.seat.beat = 3;
        assert_eq!(one.write(&note).await.unwrap(), Renewed::Held);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let seen: Note = other.look().await.unwrap().unwrap();
        assert!(!other.is_free(&seen.seat), "it was renewed");

        tokio::time::sleep(Duration::from_millis(340)).await;
        let seen: Note = other.look().await.unwrap().unwrap();
        assert!(other.is_free(&seen.seat) && !one.held.holds());
        let taken = Note { seat: other.seat(seen.seat.beat) };
        assert_eq!(other.write(&taken).await.unwrap(), Renewed::Held);
        note.seat.beat = 4;
        assert_eq!(one.write(&note).await.unwrap(), Renewed::Lost);
        assert!(!one.held.holds() && other.held.holds());

        other.leave(taken).await.unwrap();
        assert!(!other.held.holds());
        let seen: Note = one.look().await.unwrap().unwrap();
        assert!(one.is_free(&seen.seat));
    }
}
