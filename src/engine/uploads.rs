//! Pushes under way: each comes by one stream at a time, and waits for a while for the next
//! where that breaks.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::options::PushOptions;
use crate::domain::{Error, Result, Violation, limits};
use crate::model::upload::Upload;

/// Most pushes under way, broken ones included.
const MOST: usize = 4;

/// Where pushes come in.
#[derive(Debug)]
pub(super) struct Uploads {
    folder: PathBuf,
    most_bytes: u64,
    patience: Duration,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// Those that a stream is at.
    busy: HashSet<String>,
    /// Those that wait for their next stream, and since when.
    waiting: HashMap<String, (Upload, Instant)>,
}

/// A push that a stream is at. Dropping it leaves what came for the next stream.
#[derive(Debug)]
pub struct Incoming {
    uploads: Arc<Uploads>,
    id: String,
    upload: Option<Upload>,
}

impl Uploads {
    pub(super) fn new(folder: PathBuf, options: &PushOptions) -> Self {
        let patience = Duration::from_secs(options.resume_minutes * 60);
        Self { folder, most_bytes: options.max_mib << 20, patience, open: Mutex::default() }
    }

    /// Bytes that came of a push that waits; none where there is no such push.
    pub(super) fn received(&self, id: &str) -> Option<u64> {
        self.expire();
        self.open.lock().waiting.get(id).map(|(upload, _)| upload.received())
    }

    /// Begins a push of `bytes` bytes, or takes one up again.
    pub(super) fn begin(self: &Arc<Self>, id: &str, bytes: u64) -> Result<Incoming> {
        limits::id("header.push_id", id)?;
        let most = self.most_bytes;
        if bytes == 0 || bytes > most {
            let message = format!("must be 1 to {most} (push.max_mib), was {bytes}");
            return Err(Violation::new("header.size_bytes", message).into());
        }
        self.expire();
        let mut open = self.open.lock();
        if open.busy.contains(id) {
            return Err(Error::Overloaded(format!("another stream is at push {id:?}")));
        }
        let waiting = open.waiting.remove(id).map(|(upload, _)| upload);
        let upload = match waiting.filter(|upload| upload.declared() == bytes) {
            Some(upload) => upload,
            None if open.busy.len() + open.waiting.len() >= MOST => {
                let message = format!("{MOST} pushes are under way; try again later");
                return Err(Error::Overloaded(message));
            }
            None => Upload::begin(&self.folder, bytes).map_err(storage)?,
        };
        open.busy.insert(id.to_owned());
        Ok(Incoming { uploads: self.clone(), id: id.to_owned(), upload: Some(upload) })
    }

    /// Lets go of what waited too long.
    fn expire(&self) {
        let patience = self.patience;
        self.open.lock().waiting.retain(|_, (_, since)| since.elapsed() < patience);
    }
}

impl Incoming {
    /// Adds bytes that begin at `offset` of the file.
    ///
    /// # Errors
    /// [`Error::Invalid`] where they do not follow what came, or are too many;
    /// [`Error::Storage`] where the disk refuses, and nothing of the push is left.
    pub fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let gone = || Error::Storage("the push was lost to an error before".to_owned());
        let upload = self.upload.as_mut().ok_or_else(gone)?;
        let received = upload.received();
        if offset != received {
            let message = format!("must be {received}, what came so far, was {offset}");
            return Err(Violation::new("chunk.offset", message).into());
        }
        if bytes.len() as u64 > upload.declared() - received {
            let declared = upload.declared();
            let message = format!("must not go beyond header.size_bytes, {declared}");
            return Err(Violation::new("chunk.data", message).into());
        }
        upload.append(bytes).map_err(|error| {
            self.upload = None;
            storage(error)
        })
    }

    /// The whole file, if what came is what is told here; nothing of the push is left here.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is not: a push cut short can be taken up again, one with
    /// other bytes is gone.
    pub(super) fn finish(mut self, bytes: u64, sha256: &str) -> Result<(Upload, String)> {
        let received = self.upload.as_ref().map_or(0, Upload::received);
        let declared = self.upload.as_ref().map_or(0, Upload::declared);
        if bytes != declared || received != declared {
            let message = format!(
                "must be header.size_bytes, {declared}, as must what came, {received}; was {bytes}"
            );
            return Err(Violation::new("commit.size_bytes", message).into());
        }
        let upload = self.upload.take();
        let upload = upload.ok_or_else(|| Error::Storage("the push was lost".to_owned()))?;
        let came = upload.sha256();
        if !came.eq_ignore_ascii_case(sha256) {
            let message = format!("must be that of what came, {came}, was {sha256:?}");
            return Err(Violation::new("commit.sha256", message).into());
        }
        Ok((upload, came))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut open = self.uploads.open.lock();
        open.busy.remove(&self.id);
        let Some(upload) = self.upload.take().filter(|upload| upload.received() > 0) else {
            return;
        };
        open.waiting.insert(self.id.clone(), (upload, Instant::now()));
        drop(open);
        // Not to lie around until the next push comes by.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (uploads, patience) = (Arc::downgrade(&self.uploads), self.uploads.patience);
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
    Error::Storage(format!("a pushed file cannot be kept: {error}"))
}
