//! The one thread that writes. It groups what is waiting into one block and
//! one flush, then applies it to live state, then acknowledges. So the order
//! of the log is the order of live state, and ids are assigned in log order.

use std::borrow::Cow;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::State;
use crate::domain::{Error, Event, Item, Offset, Result};
use crate::live::{Known, Vocabulary};
use crate::store::{BlockBuilder, Log, Record, StoredEvent};

/// Batches that may wait; one more is refused.
const QUEUE: usize = 256;
/// A group takes in no further batch once it holds this many records.
const GROUP_RECORDS: usize = 20_000;

/// Something to write; whole or not at all.
#[derive(Debug)]
pub enum Write {
    /// Behaviour.
    Events(Vec<Event>),
    /// Items to create or replace.
    Items(Vec<(String, Item)>),
    /// A chunk of an import, with the digest by which it is known afterwards.
    Imported(u128, Vec<Event>),
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

struct Request {
    write: Write,
    reply: oneshot::Sender<Result<Receipt>>,
}

/// Handle of the thread; dropping it drains what waits and ends it.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(log: Log, state: Arc<State>) -> Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || run(log, &state, requests))
            .map_err(|e| Error::Storage(format!("the committer's thread does not start: {e}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub(super) async fn write(&self, write: Write) -> Result<Receipt> {
        let (reply, receipt) = oneshot::channel();
        self.queue()?.try_send(Request { write, reply }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Error::Overloaded(format!(
                "{QUEUE} batches are waiting to be written already; try again later"
            )),
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        receipt.await.map_err(|_| closed())?
    }

    pub(super) fn write_blocking(&self, write: Write) -> Result<Receipt> {
        let (reply, receipt) = oneshot::channel();
        self.queue()?.blocking_send(Request { write, reply }).map_err(|_| closed())?;
        receipt.blocking_recv().map_err(|_| closed())?
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

fn closed() -> Error {
    Error::Storage("the store is shutting down".to_owned())
}

fn run(mut log: Log, state: &State, mut requests: mpsc::Receiver<Request>) {
    while let Some(first) = requests.blocking_recv() {
        let mut records = first.write.len();
        let mut group = vec![first];
        while records < GROUP_RECORDS {
            let Ok(next) = requests.try_recv() else { break };
            records += next.write.len();
            group.push(next);
        }
        let outcome = commit(&mut log, state, &group);
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

/// Log, then live state. On failure nothing is changed: ids that the group
/// brought are forgotten again.
fn commit(log: &mut Log, state: &State, group: &[Request]) -> Result<Vec<Receipt>> {
    let mut known = state.known.lock();
    let sizes = (state.live.users.read().len(), state.live.items.read().len());
    let mut staged = Staged::default();
    for request in group {
        staged.add(&request.write, state, &mut known, log.next_offset());
    }
    if staged.records.is_empty() {
        return Ok(staged.receipts);
    }
    let first = log.append(&staged.block).and_then(|first| log.commit().map(|()| first));
    match first {
        Ok(first) => {
            for (offset, record) in (first..).zip(&staged.records) {
                state.live.apply(offset, record);
                if let Record::Imported(digest) = record {
                    known.remember_chunk(*digest);
                }
            }
            Ok(staged.receipts)
        }
        Err(error) => {
            state.live.users.write().truncate(sizes.0);
            state.live.items.write().truncate(sizes.1);
            for record in &staged.records {
                if let Record::Event(event) = record {
                    known.forget(event.event_id);
                }
            }
            Err(error.into())
        }
    }
}

/// A group on its way to the log.
#[derive(Default)]
struct Staged<'g> {
    block: BlockBuilder,
    records: Vec<Record<'g>>,
    receipts: Vec<Receipt>,
}

impl<'g> Staged<'g> {
    fn add(&mut self, write: &'g Write, state: &State, known: &mut Known, base: Offset) {
        let (before, mut duplicates) = (self.records.len(), 0);
        match write {
            Write::Events(events) => duplicates = self.add_events(events, state, known),
            Write::Imported(digest, events) => {
                duplicates = self.add_events(events, state, known);
                self.push(Record::Imported(*digest));
            }
            Write::Items(items) => {
                let mut names = state.live.items.write();
                for (id, item) in items {
                    let idx = intern(&mut names, id, |id| self.block.define_item(id));
                    self.push(Record::Item(idx, Cow::Borrowed(item)));
                }
            }
        }
        self.receipts.push(Receipt {
            recorded: self.records.len() - before,
            duplicates,
            offset: base + self.records.len() as Offset,
        });
    }

    /// Stages events that are not known yet; returns how many are.
    fn add_events(&mut self, events: &'g [Event], state: &State, known: &mut Known) -> usize {
        let mut users = state.live.users.write();
        let mut items = state.live.items.write();
        let mut duplicates = 0;
        for event in events {
            if !known.remember(&event.event_id) {
                duplicates += 1;
                continue;
            }
            let user = intern(&mut users, &event.user_id, |id| self.block.define_user(id));
            let item = intern(&mut items, &event.item_id, |id| self.block.define_item(id));
            self.push(Record::Event(stored(event, user, item)));
        }
        duplicates
    }

    fn push(&mut self, record: Record<'g>) {
        self.block.push(&record);
        self.records.push(record);
    }
}

fn intern(names: &mut Vocabulary, id: &str, define: impl FnOnce(&str)) -> u32 {
    let (idx, new) = names.intern(id);
    if new {
        define(id);
    }
    idx
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
        }
    }
}
