//! What the server that writes announces, put together from what is uploaded.

use std::collections::{BTreeMap, BTreeSet};
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
    /// What is uploaded and not announced yet, by the names of the stores.
    held: Mutex<BTreeMap<(String, Kind), Vec<Piece>>>,
}

/// What is uploaded of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Log,
    Models,
}

impl Board {
    /// A board with the note of the server that wrote before, or an empty one.
    pub(super) fn new(note: WriterNote) -> Self {
        Self { note: Mutex::new(note), host: Mutex::default(), held: Mutex::default() }
    }

    /// Announces these stores from now on, and no others.
    pub(super) fn open(&self, host: &Arc<Host>) {
        *self.host.lock() = Some(host.clone());
    }

    /// The stores that are announced.
    pub(super) fn host(&self) -> Option<Arc<Host>> {
        self.host.lock().clone()
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
        let listed = host.map(|host| host.list());
        let mut note = self.note.lock();
        note.seat.beat += 1;
        let Some(listed) = listed else { return note.clone() };

        // A store that does not open is announced as it was.
        let names: BTreeSet<&str> = listed.iter().map(|listed| &*listed.name).collect();
        note.stores.retain(|name, _| names.contains(&**name));
        for store in listed.iter().filter_map(|listed| listed.store.as_ref().ok()) {
            let source = store.engine.source();
            let of_store = entry(&mut note, store);
            of_store.end = store.engine.live().offset();
            of_store.writer = source.writers().of(of_store.end).map(str::to_owned);
        }
        note.clone()
    }

    /// Notes that a note was written: what it announces is what another server would go on from.
    pub(super) fn written(&self, note: &WriterNote) {
        self.note.lock().seat.after = note.seat.beat;
        let Some(host) = self.host.lock().clone() else { return };
        for (name, of_store) in &note.stores {
            if let Ok(store) = host.store(name)
                && store.settings().created_ms == of_store.created_ms
            {
                store.engine.source().note_uploaded(of_store.uploaded);
            }
        }
    }

    /// Keeps a piece that is about to be uploaded until it is announced.
    pub(super) fn hold(&self, store: &Hosted, kind: Kind, piece: Piece) {
        self.held.lock().entry((store.name.clone(), kind)).or_default().push(piece);
    }

    /// The pieces that are not announced yet.
    pub(super) fn held(&self) -> Vec<Piece> {
        self.held.lock().values().flatten().cloned().collect()
    }

    /// Announces the keys and stores.
    pub(super) fn set_server(&self, piece: Piece) {
        self.note.lock().server = Some(piece);
    }

    /// Announces a log, which ends at `end`.
    pub(super) fn set_log(&self, store: &Hosted, log: Piece, end: Offset) {
        let mut note = self.note.lock();
        let of_store = entry(&mut note, store);
        of_store.log = Some(log);
        of_store.uploaded = end;
        self.held.lock().remove(&(store.name.clone(), Kind::Log));
    }

    /// Announces whether all of a log is uploaded that was there when its upload began.
    pub(super) fn set_whole(&self, store: &Hosted, is_whole: bool) {
        entry(&mut self.note.lock(), store).is_whole = is_whole;
    }

    /// Announces models.
    pub(super) fn set_models(&self, store: &Hosted, models: Piece) {
        entry(&mut self.note.lock(), store).models = Some(models);
        self.held.lock().remove(&(store.name.clone(), Kind::Models));
    }

    /// Announces the outcome of a model that was trained elsewhere.
    pub(super) fn set_adopted(&self, store: &Hosted, adopted: Adopted) {
        entry(&mut self.note.lock(), store).adopted = Some(adopted);
    }

    /// What is announced of a store; nothing yet of one that is another of the name.
    pub(super) fn of(&self, store: &Hosted) -> StoreNote {
        let created_ms = store.settings().created_ms;
        let note = self.note.lock();
        let of_store = note.stores.get(&store.name).filter(|note| note.created_ms == created_ms);
        of_store.cloned().unwrap_or_default()
    }
}

/// What a note says of a store; nothing of one that is another of the name.
fn entry<'n>(note: &'n mut WriterNote, store: &Hosted) -> &'n mut StoreNote {
    let created_ms = store.settings().created_ms;
    let of_store = note.stores.entry(store.name.clone()).or_default();
    if of_store.created_ms != created_ms {
        *of_store = StoreNote { created_ms, ..StoreNote::default() };
    }
    of_store
}
