//! What a training has finished so far, in one file, so that after a stop the next one goes on from there. It names no
//! user. Where the file cannot be read or written, the work is done again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{StoreError, files, sealed};
use crate::domain::Offset;

/// Its file in the store's folder.
const NAME: &str = "UNFINISHED";
/// Share of the log, as a divisor, by which it may have grown since the work began: the rest is found anew.
const GROWN: u64 = 20;
/// Number of stops after which the work does not begin by itself: it may be what stops the server.
const MAX_STOPS: u32 = 3;

/// Work that is not finished, and the results of its finished stages, by name.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// None: nothing is kept.
    path: Option<PathBuf>,
    held: Mutex<Held>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Held {
    /// Names what the results depend on beside the log.
    basis: String,
    /// The end of the log when the work began first.
    offset: Offset,
    /// How often it began.
    begun: u32,
    stages: BTreeMap<String, Value>,
}

impl Held {
    fn read(root: &Path) -> Option<Self> {
        let bytes = files::read_if_there(&root.join(NAME)).map_err(|error| error.to_string());
        let read =
            bytes.and_then(|bytes| bytes.as_deref().map(sealed::unseal_strictly).transpose());
        read.unwrap_or_else(|why| {
            tracing::warn!(why, "what a training has finished cannot be read");
            None
        })
    }

    fn fits(&self, basis: &str, offset: Offset) -> bool {
        let longest = self.offset.saturating_add(self.offset / GROWN);
        self.basis == basis && (self.offset..=longest).contains(&offset)
    }
}

impl Unfinished {
    /// Begins work for the store in `root`, which may go on from what was finished before a stop.
    pub fn begin(root: &Path) -> Self {
        let mut held = Held::read(root).unwrap_or_default();
        held.begun = held.begun.saturating_add(1);
        let unfinished = Self { path: Some(root.join(NAME)), held: Mutex::new(held) };
        unfinished.write();
        unfinished
    }

    /// Keeps what was finished with this `basis`, on the log before `offset` or one that was at most a twentieth
    /// shorter; forgets what was not.
    pub fn keep_fitting(&self, basis: &str, offset: Offset) {
        let mut held = self.held.lock();
        if !held.fits(basis, offset) {
            *held = Held { basis: basis.to_owned(), offset, begun: held.begun, ..Held::default() };
        }
        if !held.stages.is_empty() {
            let stages = held.stages.keys().cloned().collect::<Vec<_>>().join(", ");
            tracing::info!(stages, "a training that was stopped goes on");
        }
    }

    /// Whether work on the store in `root` was stopped, and may begin again by itself.
    pub fn is_waiting(root: &Path) -> bool {
        Held::read(root).is_some_and(|held| held.begun < MAX_STOPS)
    }

    /// The result of a stage: as it was found earlier, or by doing its `work` now.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn stage<T: Serialize + DeserializeOwned, E>(
        &self,
        name: &str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let found = self.held.lock().stages.get(name).cloned();
        if let Some(found) = found.and_then(|value| serde_json::from_value(value).ok()) {
            return Ok(found);
        }

        let result = work()?;
        if self.path.is_some()
            && let Ok(value) = serde_json::to_value(&result)
        {
            self.held.lock().stages.insert(name.to_owned(), value);
            self.write();
        }
        Ok(result)
    }

    fn write(&self) {
        let Some(path) = &self.path else { return };
        let bytes = sealed::seal(&*self.held.lock()).map_err(io::Error::other);
        if let Err(error) = bytes.and_then(|bytes| files::replace(path, &bytes)) {
            tracing::warn!(%error, "a training that is stopped now begins anew");
        }
    }
}

/// Removes what is kept of the store in `root`: the work is finished, or its log is to be rewritten.
///
/// # Errors
/// Where the disk fails.
pub fn remove(root: &Path) -> Result<(), StoreError> {
    let path = root.join(NAME);
    for path in [path.with_extension("writing"), path] {
        match fs::remove_file(&path) {
            Ok(()) => files::sync_folder(root).map_err(StoreError::io("flush", root))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("remove", &path)(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of a stage that finds `new` where none is kept.
    fn search(unfinished: &Unfinished, new: f64) -> f64 {
        unfinished.stage("search", || Ok::<_, ()>(new)).unwrap()
    }

    fn begun(root: &Path, basis: &str, offset: Offset) -> Unfinished {
        let unfinished = Unfinished::begin(root);
        unfinished.keep_fitting(basis, offset);
        unfinished
    }

    #[test]
    fn work_goes_on_where_it_was_stopped() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert!(!Unfinished::is_waiting(root));

        let first = begun(root, "today's", 100);
        assert_eq!(first.stage::<f64, _>("search", || Err("stopped")), Err("stopped"));
        assert_eq!([search(&first, 0.1), search(&first, 0.2)], [0.1; 2]);
        assert!(Unfinished::is_waiting(root));
        assert_eq!(search(&begun(root, "today's", 105), 0.2), 0.1);

        let third = begun(root, "today's", 100);
        assert!(!Unfinished::is_waiting(root), "it may be what stops the server");
        assert_eq!(search(&third, 0.2), 0.1);
        assert_eq!(search(&begun(root, "another", 100), 0.3), 0.3);
        assert!(!Unfinished::is_waiting(root), "whatever it would find");
        remove(root).unwrap();
        remove(root).unwrap();
        assert_eq!(search(&begun(root, "today's", 100), 0.2), 0.2);
    }

    #[test]
    fn what_does_not_fit_is_done_again() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for (basis, offset) in [("another", 100), ("today's", 106), ("today's", 99)] {
            search(&begun(root, "today's", 100), 0.1);
            assert_eq!(search(&begun(root, basis, offset), 0.2), 0.2);
            remove(root).unwrap();
        }

        search(&begun(root, "today's", 100), 0.1);
        let path = root.join(NAME);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            for damaged in [&flipped[..], &whole[..at]] {
                fs::write(&path, damaged).unwrap();
                let found = search(&begun(root, "today's", 100), 0.2);
                assert!([0.1, 0.2].contains(&found), "byte {at}");
            }
        }
    }

    #[test]
    fn nothing_is_kept_without_a_folder() {
        let unfinished = Unfinished::default();
        assert_eq!([search(&unfinished, 0.1), search(&unfinished, 0.2)], [0.1, 0.2]);
    }
}
