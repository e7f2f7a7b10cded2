//! Which snapshot answers now, and which are kept on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::domain::{Generation, Offset, Result};
use crate::model::{Manifest, Snapshot, disk};

/// The snapshots that take part in serving; replaced whole, never changed.
#[derive(Debug, Default)]
pub struct Published {
    /// The one that answers.
    pub active: Option<Arc<Snapshot>>,
}

/// The models of a store.
#[derive(Debug)]
pub struct Models {
    folder: PathBuf,
    published: ArcSwap<Published>,
    generation: watch::Sender<Generation>,
}

impl Models {
    /// Serves the newest whole snapshot in `folder` that fits a log of `offset`
    /// records.
    pub(crate) fn open(folder: PathBuf, offset: Offset) -> Self {
        let active = disk::load_newest(&folder, offset).map(Arc::new);
        let generation = active.as_ref().map_or(0, |s| s.manifest.generation);
        Self {
            folder,
            published: ArcSwap::from_pointee(Published { active }),
            generation: watch::Sender::new(generation),
        }
    }

    /// Where the log ended for the newest snapshot in `folder`, whole or not.
    pub(crate) fn newest_offset(folder: &Path) -> Option<Offset> {
        disk::list(folder).first().map(|manifest| manifest.offset)
    }

    /// The snapshot that answers now; a request asks once and keeps it.
    pub fn active(&self) -> Option<Arc<Snapshot>> {
        self.published.load().active.clone()
    }

    /// Its generation; 0 before the first.
    pub fn generation(&self) -> Generation {
        *self.generation.borrow()
    }

    /// The generation that answers, and every change to come.
    pub fn watch(&self) -> watch::Receiver<Generation> {
        self.generation.subscribe()
    }

    /// The models kept on disk, newest first.
    pub fn list(&self) -> Vec<Manifest> {
        disk::list(&self.folder)
    }

    /// The next free generation.
    pub(crate) fn next_generation(&self) -> Generation {
        self.generation().max(disk::newest_generation(&self.folder)) + 1
    }

    /// Removes the snapshots, but not the one that answers, of which `concerns` says so for
    /// the records they were trained on, and those that cannot be read.
    pub(crate) fn remove_idle(&self, concerns: impl Fn(Offset) -> bool) {
        let active = self.generation();
        disk::retain(&self.folder, |manifest| {
            manifest.generation == active || !concerns(manifest.offset)
        });
    }

    /// Removes the snapshot that answers: none does any more.
    pub(crate) fn remove_active(&self) {
        let active = self.generation();
        self.published.store(Arc::default());
        self.generation.send_replace(0);
        // Its number is not given out again.
        disk::note_generation(&self.folder, active);
        disk::retain(&self.folder, |manifest| manifest.generation != active);
    }

    /// Persists a snapshot, then lets it answer, then drops the oldest beyond `keep`.
    ///
    /// # Errors
    /// [`crate::domain::Error::Storage`] where the disk refuses; the one
    /// before goes on answering.
    pub(crate) fn publish(&self, mut snapshot: Snapshot, keep: usize) -> Result<()> {
        disk::save(&self.folder, &mut snapshot)
            .map_err(|e| crate::domain::Error::Storage(e.to_string()))?;
        let generation = snapshot.manifest.generation;
        self.published.store(Arc::new(Published { active: Some(Arc::new(snapshot)) }));
        self.generation.send_replace(generation);
        disk::prune(&self.folder, keep.max(1));
        Ok(())
    }
}
