//! The one thread that writes. It groups what is waiting into one block and
//! one flush, then applies it to live state, then acknowledges. So the order
//! of the log is the order of live state, and ids are assigned in log order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use super::State;
use super::budget::Budget;
use super::lag::Lag;
use super::staged::Staged;
use crate::domain::{Error, Event, ItemChange, Offset, Result, User, Violation};
use crate::live::Known;
use crate::store::{Log, Record};

/// Batches that may wait; one more is refused.
const QUEUE: usize = 256;
/// Bytes that may wait; a batch that would take the queue beyond is refused.
const QUEUE_BYTES: usize = 256 << 20;
/// Largest batch in bytes; with a group before it, still a block that can be read.
pub(super) const BATCH_BYTES: usize = 128 << 20;
/// A group takes in no further batch once it holds this many records, or bytes.
const GROUP_RECORDS: usize = 20_000;
const GROUP_BYTES: usize = 8 << 20;

/// Something to write; whole or not at all.
#[derive(Debug)]
pub enum Write {
    /// Behaviour.
    Events(Vec<Event>),
    /// What is said anew of items, some of them new.
    Items(Vec<(String, ItemChange)>),
    /// Items that can be bought, or cannot; nothing is recorded of those that are not known.
    Availability(Vec<String>, bool),
    /// An item to take out of the catalogue; nothing is recorded of one that is not in it.
    DeleteItem(String),
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
    /// Nothing to record: what was recorded before is to be on disk, whatever the durability.
    Flush,
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
    /// Whether writes are taken.
    takes_writes: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(log: Log, known: Known, state: Arc<State>) -> Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let takes_writes = watch::Sender::new(true);
        let worker = Worker {
            log,
            known,
            waiting_bytes: waiting_bytes.clone(),
            takes_writes: takes_writes.clone(),
            failing: None,
            budget: Budget::new(state.limits.memory_mib),
            state,
        };
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || worker.run(requests))
            .map_err(|e| Error::Storage(format!("the committer's thread does not start: {e}")))?;
        Ok(Self { queue: Some(queue), waiting_bytes, takes_writes, thread: Some(thread) })
    }

    /// Whether writes are taken, and every change to come.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.takes_writes.subscribe()
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
            Write::Items(_) | Write::Availability(..) => "items",
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

/// What the thread works with.
struct Worker {
    log: Log,
    known: Known,
    state: Arc<State>,
    waiting_bytes: Arc<AtomicUsize>,
    takes_writes: watch::Sender<bool>,
    /// Why the last group failed; none where it did not.
    failing: Option<String>,
    budget: Budget,
}

impl Worker {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
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

            let outcome = self.commit(&group);
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.report(&outcome);
            if outcome.is_ok() {
                group.iter().for_each(|request| lag.note(request.arrived));
            }
            acknowledge(group, outcome);
        }
    }

    /// Says once when writes begin to fail, and once when they are taken again.
    fn report(&mut self, outcome: &Result<Vec<Result<Receipt>>>) {
        let failing = outcome.as_ref().err().map(Error::to_string);
        if failing == self.failing {
            return;
        }
        match (&failing, self.log.poison()) {
            (None, _) => tracing::info!("writes are taken again"),
            // What follows says that an earlier write failed: this one.
            (Some(_), Some(_)) if !*self.takes_writes.borrow() => {}
            (Some(error), Some(_)) => {
                tracing::error!(error, "a write failed, and none is taken until a restart");
            }
            (Some(error), None) => {
                tracing::error!(error, "writes fail; nothing of them is in force");
            }
        }
        self.takes_writes.send_if_modified(|takes| {
            std::mem::replace(takes, self.log.poison().is_none()) != *takes
        });
        self.failing = failing;
    }

    /// Log, then live state; the receipt of every request that was not refused for itself. On
    /// failure nothing is changed.
    fn commit(&mut self, group: &[Request]) -> Result<Vec<Result<Receipt>>> {
        let Self { log, known, state, budget, .. } = self;
        for request in group {
            match request.write {
                Write::Seal => log.roll()?,
                Write::Flush => log.flush()?,
                _ => {}
            }
        }

        let mark = known.mark();
        let mut staged = Staged::new(state, budget.check());
        for request in group {
            staged.add(&request.write, known, log.next_offset());
        }
        if staged.records.is_empty() {
            return Ok(staged.receipts);
        }

        let written = log.append(&staged.block).and_then(|first| log.commit().map(|()| first));
        let first = written.inspect_err(|_| known.forget_since(mark))?;
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
}

fn acknowledge(group: Vec<Request>, outcome: Result<Vec<Result<Receipt>>>) {
    match outcome {
        Ok(receipts) => {
            for (request, receipt) in group.into_iter().zip(receipts) {
                // A caller that has gone away has its write all the same.
                let _ = request.reply.send(receipt);
            }
        }
        Err(error) => {
            for request in group {
                let _ = request.reply.send(Err(Error::Storage(error.to_string())));
            }
        }
    }
}

impl Write {
    pub(super) fn len(&self) -> usize {
        match self {
            Write::Events(events) => events.len(),
            Write::Items(items) => items.len(),
            Write::Availability(ids, _) => ids.len(),
            Write::Imported(_, events) => events.len() + 1,
            Write::Users(users) => users.len(),
            Write::Erase(..) | Write::DeleteItem(_) => 1,
            Write::Seal | Write::Flush => 0,
        }
    }

    /// Whether no other write may follow it in a group: what it does shows in live state alone, or
    /// it becomes larger than it is.
    pub(super) fn ends_group(&self) -> bool {
        match self {
            Write::Erase(..) | Write::DeleteItem(_) => true,
            Write::Items(changes) => changes.iter().any(|(_, change)| !change.is_whole()),
            _ => false,
        }
    }

    /// About what it takes in memory and, before compression, in the log.
    fn bytes(&self) -> usize {
        match self {
            Write::Events(events) | Write::Imported(_, events) => {
                events.iter().map(Event::bytes).sum()
            }
            Write::Items(items) => items.iter().map(|(id, change)| id.len() + change.bytes()).sum(),
            Write::Users(users) => users.iter().map(|(id, user)| id.len() + user.bytes()).sum(),
            Write::Availability(ids, _) => ids.iter().map(|id| id.len() + 24).sum(),
            Write::Erase(id, _) | Write::DeleteItem(id) => id.len(),
            Write::Seal | Write::Flush => 0,
        }
    }
}
