//! Which snapshot answers now, and which are kept on disk. Usually the newest answers; an
//! operator can let another, until the next is published.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::domain::{Error, Generation, Offset, Result};
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
    /// Held while what answers, or what is kept, changes.
    changing: Mutex<()>,
}

impl Models {
    /// Serves the snapshot in `folder` that was chosen, or else the newest whole one, that
    /// fits a log of `offset` records.
    pub(crate) fn open(folder: PathBuf, offset: Offset) -> Self {
        let chosen = disk::chosen(&folder).and_then(|generation| {
            let loaded = disk::load(&folder, generation);
            let warn =
                |error| tracing::warn!(generation, %error, "the chosen snapshot is passed over");
            loaded.map_err(warn).ok().filter(|snapshot| snapshot.manifest.offset <= offset)
        });
        let active = chosen.or_else(|| disk::load_newest(&folder, offset)).map(Arc::new);
        let generation = active.as_ref().map_or(0, |s| s.manifest.generation);
        Self {
            folder,
            published: ArcSwap::from_pointee(Published { active }),
            generation: watch::Sender::new(generation),
            changing: Mutex::default(),
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
        let _changing = self.changing.lock();
        let active = self.generation();
        disk::retain(&self.folder, |manifest| {
            manifest.generation == active || !concerns(manifest.offset)
        });
    }

    /// Removes the snapshot that answers: none does any more.
    pub(crate) fn remove_active(&self) {
        let _changing = self.changing.lock();
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
        let _changing = self.changing.lock();
        disk::save(&self.folder, &mut snapshot).map_err(storage)?;
        disk::choose(&self.folder, None).map_err(storage)?;
        self.answer_from(snapshot);
        disk::prune(&self.folder, keep.max(1));
        Ok(())
    }

    /// Lets a kept snapshot answer, from now on and after a restart, until the next is
    /// published; returns its manifest.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept; [`Error::Storage`] where it cannot be read,
    /// or the choice not be written: the one before goes on answering.
    pub(crate) fn activate(&self, generation: Generation) -> Result<Manifest> {
        let _changing = self.changing.lock();
        self.find(generation)?;
        let snapshot = disk::load(&self.folder, generation).map_err(storage)?;
        let manifest = snapshot.manifest.clone();
        disk::choose(&self.folder, Some(generation)).map_err(storage)?;
        self.answer_from(snapshot);
        tracing::info!(generation, "model activated");
        Ok(manifest)
    }

    /// Lets the newest kept snapshot answer that is older than the one that does.
    ///
    /// # Errors
    /// [`Error::NotReady`] where there is none; as [`Models::activate`].
    pub(crate) fn rollback(&self) -> Result<Manifest> {
        let active = self.generation();
        let before = self.list().into_iter().map(|m| m.generation).find(|&g| g < active);
        let none = || Error::NotReady(format!("no model older than generation {active} is kept"));
        self.activate(before.ok_or_else(none)?)
    }

    /// Removes a kept snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept, [`Error::NotReady`] for the one that answers.
    pub(crate) fn delete(&self, generation: Generation) -> Result<()> {
        let _changing = self.changing.lock();
        self.find(generation)?;
        if generation == self.generation() {
            let message = format!("generation {generation} answers now; activate another first");
            return Err(Error::NotReady(message));
        }
        disk::note_generation(&self.folder, disk::newest_generation(&self.folder));
        disk::retain(&self.folder, |manifest| manifest.generation != generation);
        Ok(())
    }

    /// A kept snapshot's manifest.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept.
    pub fn find(&self, generation: Generation) -> Result<Manifest> {
        let found = self.list().into_iter().find(|manifest| manifest.generation == generation);
        found.ok_or_else(|| Error::NotFound { kind: "model", id: generation.to_string() })
    }

    fn answer_from(&self, snapshot: Snapshot) {
        let generation = snapshot.manifest.generation;
        self.published.store(Arc::new(Published { active: Some(Arc::new(snapshot)) }));
        self.generation.send_replace(generation);
    }
}

fn storage(error: impl std::fmt::Display) -> Error {
    Error::Storage(error.to_string())
}
