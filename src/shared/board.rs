//! What the server that writes announces, put together from what is uploaded.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::notes::{Adopted, StoreNote, WriterNote};
use crate::domain::Offset;
use crate::host::{Host, Hosted};
use crate::objects::Piece;

/// The note of the server that writes, and the stores that it speaks of.
#[derive(Debug)]
pub(super) struct Board {
    note: Mutex<WriterNote>,
    /// None until the stores are open.
    host: Mutex<Option<Arc<Host>>>,
    /// Where the logs end that are announced, by the names of their stores.
    ends: Mutex<BTreeMap<String, (Piece, Offset)>>,
}

impl Board {
    /// A board with the note of the server that wrote before, or an empty one.
    pub(super) fn new(note: WriterNote) -> Self {
        Self { note: Mutex::new(note), host: Mutex::default(), ends: Mutex::default() }
    }

    /// Announces these stores from now on, and no others.
    pub(super) fn open(&self, host: &Arc<Host>) {
        *self.host.lock() = Some(host.clone());
    }

    /// Announces what was announced last from now on.
    pub(super) fn close(&self) {
        *self.host.lock() = None;
    }

    /// The note as it is.
    pub(super) fn note(&self) -> WriterNote {
        self.note.lock().clone()
    }

    /// Goes on from another note.
    pub(super) fn replace(&self, note: WriterNote) {
        *self.note.lock() = note;
    }

    /// The next note to write: everything acknowledged by now lies before the ends that it names.
    pub(super) fn next(&self) -> WriterNote {
        let host = self.host.lock().clone();
        let mut note = self.note.lock();
        note.seat.beat += 1;
        let Some(host) = host else { return note.clone() };

        let open: Vec<Arc<Hosted>> = host.list().into_iter().filter_map(|l| l.store.ok()).collect();
        // A store that does not open is announced as it was.
        let is_listed = |name: &String| host.list().iter().any(|listed| listed.name == *name);
        note.stores.retain(|name, _| is_listed(name));
        for store in open {
            let created_ms = store.settings().created_ms;
            let of_store = note.stores.entry(store.name.clone()).or_default();
            if of_store.created_ms != created_ms {
                *of_store = StoreNote { created_ms, ..StoreNote::default() };
            }
            of_store.end = store.engine.live().offset();
        }
        note.clone()
    }

    /// Notes that a note was written: what it announces is what another server would go on from.
    pub(super) fn written(&self, note: &WriterNote) {
        let Some(host) = self.host.lock().clone() else { return };
        for (name, (log, end)) in self.ends.lock().iter() {
            let is_announced = note.stores.get(name).is_some_and(|of| of.log.as_ref() == Some(log));
            if is_announced && let Ok(store) = host.store(name) {
                store.engine.source().note_uploaded(*end);
            }
        }
    }

    /// Announces the keys and stores.
    pub(super) fn set_server(&self, piece: Piece) {
        self.note.lock().server = Some(piece);
    }

    /// Changes what is announced of a store.
    fn change(&self, store: &Hosted, change: impl FnOnce(&mut StoreNote)) {
        let created_ms = store.settings().created_ms;
        let mut note = self.note.lock();
        let of_store = note.stores.entry(store.name.clone()).or_default();
        if of_store.created_ms != created_ms {
            *of_store = StoreNote { created_ms, ..StoreNote::default() };
        }
        change(of_store);
    }

    /// Announces a log.
    pub(super) fn set_log(&self, store: &Hosted, log: Piece, end: Offset) {
        self.ends.lock().insert(store.name.clone(), (log.clone(), end));
        self.change(store, |note| note.log = Some(log));
    }

    /// Announces models.
    pub(super) fn set_models(&self, store: &Hosted, models: Piece) {
        self.change(store, |note| note.models = Some(models));
    }

    /// Announces the outcome of a model that was trained elsewhere.
    pub(super) fn set_adopted(&self, store: &Hosted, adopted: Adopted) {
        self.change(store, |note| note.adopted = Some(adopted));
    }

    /// What is announced of a store; nothing yet of one that is another of the name.
    pub(super) fn of(&self, store: &Hosted) -> StoreNote {
        let created_ms = store.settings().created_ms;
        let note = self.note.lock();
        let of_store = note.stores.get(&store.name).filter(|note| note.created_ms == created_ms);
        of_store.cloned().unwrap_or_default()
    }
}
