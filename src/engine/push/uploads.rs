//! Uploads of pushes. Each is fed by one stream at a time, and waits for a while for the next
//! stream where that breaks. The next stream may come before the server notices that the one
//! before is broken: it takes over.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::domain::quote::quoted;
use crate::domain::{Error, Result, Violation, limits};
use crate::engine::options::PushOptions;
use crate::model::pushed::upload::Upload;

/// Maximum number of open uploads, broken and checked ones included.
const MAX_OPEN: usize = 4;
/// Time without data after which a new upload may replace this one when all places are taken.
const PAUSED: Duration = Duration::from_secs(10);

/// All open uploads.
#[derive(Debug)]
pub(super) struct Uploads {
    folder: PathBuf,
    max_bytes: u64,
    patience: Duration,
    open: Mutex<HashMap<String, Open>>,
}

/// The received bytes; none once they are lost or complete.
type SharedUpload = Arc<Mutex<Option<Upload>>>;

/// An open upload.
#[derive(Debug)]
struct Open {
    upload: SharedUpload,
    bytes: u64,
    /// The number of its current stream.
    stream: u64,
    stage: Stage,
    /// Time of the last data.
    came: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A stream feeds it.
    Coming,
    /// It is complete and is being checked.
    Checking,
    /// Its stream broke at this time.
    Waiting(Instant),
}

/// An upload that a stream feeds. Dropping it keeps the received bytes for the next stream.
#[derive(Debug)]
pub struct Incoming {
    uploads: Arc<Uploads>,
    id: String,
    upload: SharedUpload,
    stream: u64,
}

impl Uploads {
    pub(super) fn new(folder: PathBuf, options: &PushOptions) -> Self {
        let patience = Duration::from_secs(options.resume_minutes * 60);
        Self { folder, max_bytes: options.max_mib << 20, patience, open: Mutex::default() }
    }

    /// Bytes received of an upload; none where there is no such upload.
    pub(super) fn received(&self, id: &str) -> Option<u64> {
        self.expire();
        let upload = self.open.lock().get(id)?.upload.clone();
        let upload = upload.lock();
        upload.as_ref().map(Upload::received)
    }

    /// Begins an upload of `bytes` bytes, or resumes one.
    pub(super) fn begin(self: &Arc<Self>, id: &str, bytes: u64) -> Result<Incoming> {
        limits::id("header.push_id", id)?;
        let max = self.max_bytes;
        if bytes == 0 || bytes > max {
            let message = format!("must be 1 to {max} (push.max_mib), was {bytes}");
            return Err(Violation::new("header.size_bytes", message).into());
        }

        self.expire();
        // Its file is closed after the lock is released.
        let _evicted;
        let mut open = self.open.lock();
        let before =
            open.get(id).map(|push| (push.stage, push.stream, push.upload.clone(), push.bytes));
        let (upload, stream) = match before {
            Some((Stage::Checking, ..)) => {
                return Err(Error::Overloaded(format!(
                    "push {} is complete and being checked",
                    quoted(id)
                )));
            }
            Some((_, stream, upload, declared)) if declared == bytes => (upload, stream + 1),
            other => {
                _evicted = self.make_room(&mut open, other.is_some().then_some(id))?;
                let upload = Upload::begin(&self.folder, bytes).map_err(storage)?;
                (Arc::new(Mutex::new(Some(upload))), other.map_or(0, |(_, stream, ..)| stream + 1))
            }
        };

        let came = Instant::now();
        let push = Open { upload: upload.clone(), bytes, stream, stage: Stage::Coming, came };
        open.insert(id.to_owned(), push);
        Ok(Incoming { uploads: self.clone(), id: id.to_owned(), upload, stream })
    }

    /// Removes the upload of another size with the same id or else, where there are too many, the
    /// one that has waited longest for its stream or for data.
    fn make_room(
        &self,
        open: &mut HashMap<String, Open>,
        same: Option<&str>,
    ) -> Result<Option<Open>> {
        if let Some(id) = same {
            return Ok(open.remove(id));
        }
        if open.len() < MAX_OPEN {
            return Ok(None);
        }

        let waiting = open.iter().filter_map(|(id, push)| match push.stage {
            Stage::Waiting(since) => Some((since, id.clone())),
            Stage::Coming if push.came.elapsed() >= PAUSED => Some((push.came, id.clone())),
            Stage::Coming | Stage::Checking => None,
        });

        let longest = waiting.min().map(|(_, id)| id);
        let full =
            || Error::Overloaded(format!("{MAX_OPEN} pushes are under way; try again later"));
        Ok(open.remove(&longest.ok_or_else(full)?))
    }

    /// Removes uploads that waited too long.
    fn expire(&self) {
        let late =
            |stage| matches!(stage, Stage::Waiting(since) if since.elapsed() >= self.patience);
        // Files are closed after the lock is released.
        let _expired: Vec<Open> = {
            let mut open = self.open.lock();
            let ids: Vec<String> = open
                .iter()
                .filter(|(_, push)| late(push.stage))
                .map(|(id, _)| id.clone())
                .collect();
            ids.iter().filter_map(|id| open.remove(id)).collect()
        };
    }
}

impl Incoming {
    /// Adds bytes that begin at `offset` of the file; bytes received before are skipped.
    ///
    /// # Errors
    /// [`Error::Invalid`] where they leave a gap or exceed the declared size; [`Error::Storage`]
    /// where the disk fails, and the upload is lost; [`Error::Overloaded`] where another stream has
    /// taken over.
    pub fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.is_mine()?;
        let mut shared = self.upload.lock();
        let gone = || Error::Storage("the push was lost to an earlier error".into());
        let upload = shared.as_mut().ok_or_else(gone)?;
        let received = upload.received();
        if offset > received {
            let message =
                format!("must be at most {received}, the bytes received so far, was {offset}");
            return Err(Violation::new("chunk.offset", message).into());
        }

        let new = bytes.get((received - offset) as usize..).unwrap_or(&[]);
        if new.len() as u64 > upload.declared() - received {
            let declared = upload.declared();
            let message = format!("must not go beyond header.size_bytes, {declared}");
            return Err(Violation::new("chunk.data", message).into());
        }

        upload.append(new).map_err(|error| {
            *shared = None;
            storage(error)
        })
    }

    fn is_mine(&self) -> Result<()> {
        let mut open = self.uploads.open.lock();
        let mine = open.get_mut(&self.id).filter(|push| push.stream == self.stream);
        let taken = || {
            let id = quoted(&self.id);
            Error::Overloaded(format!("push {id} paused, and another stream took its place"))
        };
        mine.ok_or_else(taken)?.came = Instant::now();
        Ok(())
    }

    /// The complete file and its SHA-256, if both are as given. The upload keeps its place until
    /// this is dropped.
    ///
    /// # Errors
    /// [`Error::Invalid`] where they are not: an incomplete upload can be resumed, one with other
    /// bytes is removed.
    pub(super) fn finish(&mut self, bytes: u64, sha256: &str) -> Result<(Upload, String)> {
        self.is_mine()?;
        let mut shared = self.upload.lock();

        let (received, declared) =
            shared.as_ref().map_or((0, 0), |upload| (upload.received(), upload.declared()));
        if bytes != declared || received != declared {
            let message = format!(
                "must be header.size_bytes, {declared}, and the bytes received, {received}; was \
                 {bytes}"
            );
            return Err(Violation::new("commit.size_bytes", message).into());
        }

        let upload = shared.take();
        drop(shared);
        let upload = upload.ok_or_else(|| Error::Storage("the push was lost".into()))?;

        if let Some(push) = self.uploads.open.lock().get_mut(&self.id) {
            push.stage = Stage::Checking;
        }

        let came = upload.sha256();
        if !came.eq_ignore_ascii_case(sha256) {
            let message =
                format!("must be that of the received bytes, {came}, was {}", quoted(sha256));
            return Err(Violation::new("commit.sha256", message).into());
        }
        Ok((upload, came))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let came = self.upload.lock().as_ref().map_or(0, Upload::received);
        let mut open = self.uploads.open.lock();
        let Some(push) = open.get_mut(&self.id).filter(|push| push.stream == self.stream) else {
            return;
        };
        if came == 0 {
            open.remove(&self.id);
            return;
        }

        push.stage = Stage::Waiting(Instant::now());
        drop(open);
        // Expires by itself, not only when the next push begins.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let uploads = Arc::downgrade(&self.uploads);
            let patience = self.uploads.patience;
            runtime.spawn(async move {
                tokio::time::sleep(patience).await;
                if let Some(uploads) = uploads.upgrade() {
                    uploads.expire();
                }
            });
        }
    }
}

fn storage(error: std::io::Error) -> Error {
    Error::Storage(format!("a pushed file cannot be kept: {error}").into())
}
