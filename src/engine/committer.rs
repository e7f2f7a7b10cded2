//! The one thread that writes. It groups what is waiting into one block and
//! one flush, then applies it to live state, then acknowledges. So the order
//! of the log is the order of live state, and ids are assigned in log order.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use indexmap::IndexSet;
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use super::State;
use super::lag::Lag;
use crate::domain::{Error, Event, Item, Offset, Result, User, Violation};
use crate::live::{Known, Vocabulary};
use crate::store::{BlockBuilder, Log, Record, StoredEvent};

/// Batches that may wait; one more is refused.
const QUEUE: usize = 256;
/// Bytes that may wait; a batch that would take the queue beyond is refused.
const QUEUE_BYTES: usize = 256 << 20;
/// Largest batch in bytes; with a group before it, still a block that can be read.
const BATCH_BYTES: usize = 128 << 20;
/// A group takes in no further batch once it holds this many records, or bytes.
const GROUP_RECORDS: usize = 20_000;
const GROUP_BYTES: usize = 8 << 20;

/// Something to write; whole or not at all.
#[derive(Debug)]
pub enum Write {
    /// Behaviour.
    Events(Vec<Event>),
    /// Items to create or replace.
    Items(Vec<(String, Item)>),
    /// A chunk of an import, its users under their names in the store, with the digest by
    /// which it is known afterwards.
    Imported(u128, Vec<Event>),
    /// Shoppers to describe, or to describe anew.
    Users(Vec<(String, User)>),
    /// A shopper to erase, and when it was asked for, in milliseconds since 1970; nothing
    /// is recorded of one who is unknown.
    Erase(String, i64),
    /// Nothing to record: what was recorded before is to be in files no longer written to.
    Seal,
}

/// A write is durable and in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Records written.
    pub recorded: usize,
    /// Events left out because their event id was known.
    pub duplicates: usize,
    /// Offset just past the last record.
    pub offset: Offset,
}

/// A write that was handed over.
#[derive(Debug)]
#[must_use = "it may have failed"]
pub struct Pending(oneshot::Receiver<Result<Receipt>>);

impl Pending {
    /// Waits until the write is durable and in force.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk refuses, or the store closes.
    pub fn wait(self) -> Result<Receipt> {
        self.0.blocking_recv().map_err(|_| closed())?
    }
}

struct Request {
    write: Write,
    bytes: usize,
    arrived: Instant,
    reply: oneshot::Sender<Result<Receipt>>,
}

/// Handle of the thread; dropping it drains what waits and ends it.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Option<mpsc::Sender<Request>>,
    waiting_bytes: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(log: Log, known: Known, state: Arc<State>) -> Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let waiting = waiting_bytes.clone();
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || run(log, known, &state, requests, &waiting))
            .map_err(|e| Error::Storage(format!("the committer's thread does not start: {e}")))?;
        Ok(Self { queue: Some(queue), waiting_bytes, thread: Some(thread) })
    }

    pub(super) async fn write(&self, write: Write) -> Result<Receipt> {
        let bytes = small_enough(&write)?;
        let overloaded = |what: String| {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            Error::Overloaded(format!("{what} are waiting to be written already; try again later"))
        };
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting > 0 && waiting + bytes > QUEUE_BYTES {
            return Err(overloaded(format!("{waiting} bytes")));
        }
        let (reply, receipt) = oneshot::channel();
        self.queue()?.try_send(Request { write, bytes, arrived: Instant::now(), reply }).map_err(
            |e| match e {
                mpsc::error::TrySendError::Full(_) => overloaded(format!("{QUEUE} batches")),
                mpsc::error::TrySendError::Closed(_) => closed(),
            },
        )?;
        receipt.await.map_err(|_| closed())?
    }

    pub(super) fn submit_blocking(&self, write: Write) -> Result<Pending> {
        let bytes = small_enough(&write)?;
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let (reply, receipt) = oneshot::channel();
        self.queue()?
            .blocking_send(Request { write, bytes, arrived: Instant::now(), reply })
            .map_err(|_| closed())?;
        Ok(Pending(receipt))
    }

    fn queue(&self) -> Result<&mpsc::Sender<Request>> {
        self.queue.as_ref().ok_or_else(closed)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer's thread panicked");
        }
    }
}

/// The bytes of a batch.
fn small_enough(write: &Write) -> Result<usize> {
    let bytes = write.bytes();
    if bytes > BATCH_BYTES {
        let message = format!("must take at most {BATCH_BYTES} bytes together, take {bytes}");
        let field = match write {
            Write::Items(_) => "items",
            Write::Users(_) => "users",
            _ => "events",
        };
        return Err(Violation::new(field, message).into());
    }
    Ok(bytes)
}

fn closed() -> Error {
    Error::Storage("the store is shutting down".to_owned())
}

fn run(
    mut log: Log,
    mut known: Known,
    state: &State,
    mut requests: mpsc::Receiver<Request>,
    waiting_bytes: &AtomicUsize,
) {
    let mut lag = Lag::default();
    while let Some(first) = requests.blocking_recv() {
        let (mut records, mut bytes) = (first.write.len(), first.bytes);
        let mut group = vec![first];
        // What follows an erasure may bring the same name again, for another idx.
        let ends = |group: &[Request]| matches!(group.last(), Some(r) if r.write.ends_group());
        while records < GROUP_RECORDS && bytes < GROUP_BYTES && !ends(&group) {
            let Ok(next) = requests.try_recv() else { break };
            records += next.write.len();
            bytes += next.bytes;
            group.push(next);
        }
        let outcome = commit(&mut log, &mut known, state, &group);
        waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if outcome.is_ok() {
            group.iter().for_each(|request| lag.note(request.arrived));
        }
        acknowledge(group, outcome);
    }
}

fn acknowledge(group: Vec<Request>, outcome: Result<Vec<Receipt>>) {
    match outcome {
        Ok(receipts) => {
            for (request, receipt) in group.into_iter().zip(receipts) {
                // A caller that has gone away has its write all the same.
                let _ = request.reply.send(Ok(receipt));
            }
        }
        Err(error) => {
            tracing::error!(%error, "a group of writes failed; nothing of it is in force");
            for request in group {
                let _ = request.reply.send(Err(Error::Storage(error.to_string())));
            }
        }
    }
}

/// Log, then live state. On failure nothing is changed.
fn commit(
    log: &mut Log,
    known: &mut Known,
    state: &State,
    group: &[Request],
) -> Result<Vec<Receipt>> {
    if group.iter().any(|request| matches!(request.write, Write::Seal)) {
        log.roll()?;
    }
    let mark = known.mark();
    let mut staged = Staged::new(state);
    for request in group {
        staged.add(&request.write, known, log.next_offset());
    }
    if staged.records.is_empty() {
        return Ok(staged.receipts);
    }
    match log.append(&staged.block).and_then(|first| log.commit().map(|()| first)) {
        Ok(first) => {
            staged.users.publish(&state.live.users);
            staged.items.publish(&state.live.items);
            // Before the first model there is nothing that pairs could be newer than.
            let trained = state.models.generation() > 0;
            for (offset, record) in (first..).zip(&staged.records) {
                state.live.apply(offset, record);
                if let Record::Event(event) = record
                    && trained
                {
                    state.live.note_pairs(offset, event);
                }
            }
            Ok(staged.receipts)
        }
        Err(error) => {
            known.forget_since(mark);
            Err(error.into())
        }
    }
}

/// A group on its way to the log.
struct Staged<'g> {
    block: BlockBuilder,
    records: Vec<Record<'g>>,
    receipts: Vec<Receipt>,
    users: Names<'g>,
    items: Names<'g>,
}

impl<'g> Staged<'g> {
    fn new(state: &'g State) -> Self {
        Self {
            block: BlockBuilder::default(),
            records: Vec::new(),
            receipts: Vec::new(),
            users: Names::new(&state.live.users),
            items: Names::new(&state.live.items),
        }
    }

    fn add(&mut self, write: &'g Write, known: &mut Known, base: Offset) {
        let (before, mut duplicates) = (self.records.len(), 0);
        match write {
            Write::Events(events) => duplicates = self.add_events(events, known),
            Write::Imported(digest, events) => {
                duplicates = self.add_events(events, known);
                self.push(Record::Imported(*digest));
            }
            Write::Items(items) => {
                for (id, item) in items {
                    let idx = self.items.intern(id, |id| self.block.define_item(id));
                    self.push(Record::Item(idx, Cow::Borrowed(item)));
                }
            }
            Write::Users(users) => {
                for (id, user) in users {
                    let idx = self.users.intern(id, |id| self.block.define_user(id));
                    self.push(Record::User(idx, Cow::Borrowed(user)));
                }
            }
            Write::Erase(id, time_ms) => {
                if let Some(idx) = self.users.get(id) {
                    self.push(Record::Erased(idx, *time_ms));
                }
            }
            Write::Seal => {}
        }
        self.receipts.push(Receipt {
            recorded: self.records.len() - before,
            duplicates,
            offset: base + self.records.len() as Offset,
        });
    }

    /// Stages events that are not known yet; returns how many are.
    fn add_events(&mut self, events: &'g [Event], known: &mut Known) -> usize {
        let mut duplicates = 0;
        for event in events {
            if !known.remember(&event.event_id) {
                duplicates += 1;
                continue;
            }
            let user = self.users.intern(&event.user_id, |id| self.block.define_user(id));
            let item = self.items.intern(&event.item_id, |id| self.block.define_item(id));
            self.push(Record::Event(stored(event, user, item)));
        }
        duplicates
    }

    fn push(&mut self, record: Record<'g>) {
        self.block.push(&record);
        self.records.push(record);
    }
}

/// A vocabulary with the names that a group brings, which nobody else sees
/// before they are durable. Only this thread adds to the vocabulary.
struct Names<'g> {
    known: &'g RwLock<Vocabulary>,
    first_new: u32,
    new: IndexSet<&'g str, ahash::RandomState>,
}

impl<'g> Names<'g> {
    fn new(known: &'g RwLock<Vocabulary>) -> Self {
        Self { known, first_new: known.read().len() as u32, new: IndexSet::default() }
    }

    fn intern(&mut self, id: &'g str, define: impl FnOnce(&str)) -> u32 {
        if let Some(idx) = self.known.read().get(id) {
            return idx;
        }
        let (place, new) = self.new.insert_full(id);
        if new {
            define(id);
        }
        self.first_new + place as u32
    }

    fn get(&self, id: &str) -> Option<u32> {
        let new = || self.new.get_index_of(id).map(|place| self.first_new + place as u32);
        self.known.read().get(id).or_else(new)
    }

    fn publish(&self, vocabulary: &RwLock<Vocabulary>) {
        let mut vocabulary = vocabulary.write();
        self.new.iter().for_each(|id| {
            vocabulary.intern(id);
        });
    }
}

fn stored(event: &Event, user: u32, item: u32) -> StoredEvent<'_> {
    StoredEvent {
        user,
        item,
        kind: event.kind,
        time_ms: event.time_ms,
        quantity: event.quantity,
        price: event.price,
        rating: event.rating,
        event_id: &event.event_id,
        basket_id: &event.basket_id,
        session_id: &event.session_id,
        recommendation_id: &event.recommendation_id,
        channel: &event.channel,
    }
}

impl Write {
    fn len(&self) -> usize {
        match self {
            Write::Events(events) => events.len(),
            Write::Items(items) => items.len(),
            Write::Imported(_, events) => events.len() + 1,
            Write::Users(users) => users.len(),
            Write::Erase(..) => 1,
            Write::Seal => 0,
        }
    }

    fn ends_group(&self) -> bool {
        matches!(self, Write::Erase(..))
    }

    /// About what it takes in memory and, before compression, in the log.
    fn bytes(&self) -> usize {
        match self {
            Write::Events(events) | Write::Imported(_, events) => {
                events.iter().map(Event::bytes).sum()
            }
            Write::Items(items) => items.iter().map(|(id, item)| id.len() + item.bytes()).sum(),
            Write::Users(users) => users.iter().map(|(id, user)| id.len() + user.bytes()).sum(),
            Write::Erase(id, _) => id.len(),
            Write::Seal => 0,
        }
    }
}
