//! The one thread that writes. It groups waiting writes into one block and one flush, applies them
//! to live state, then acknowledges. So the order of the log is the order of live state, and ids
//! are assigned in log order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::MutexGuard;
use tokio::sync::{mpsc, oneshot, watch};

use super::latency::WriteLatency;
use super::memory_budget::{self, MemoryBudget};
use super::request::{BATCH_BYTES, Pending, Receipt, Write};
use super::staged::Staged;
use crate::domain::{Error, Offset, Result, Violation};
use crate::engine::active_lists::ActiveLists;
use crate::engine::checkpoint;
use crate::engine::measure;
use crate::engine::state::State;
use crate::experiment::Measurements;
use crate::live::{DedupWindow, Live, LiveWriter};
use crate::store::{Entry, Exposure, Log, Record};

/// Maximum number of waiting batches; one more is refused.
const QUEUE: usize = 256;
/// Maximum number of waiting bytes; a batch beyond is refused.
const QUEUE_BYTES: usize = 256 << 20;
/// A group accepts no further batch once it has this many records, or bytes.
const GROUP_RECORDS: usize = 20_000;
const GROUP_BYTES: usize = 8 << 20;

struct Request {
    write: Write,
    bytes: usize,
    arrived: Instant,
    reply: oneshot::Sender<Result<Receipt>>,
}

/// Handle of the thread; dropping it drains the queue and joins the thread.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Option<mpsc::Sender<Request>>,
    waiting_bytes: Arc<AtomicUsize>,
    /// Whether writes are accepted.
    takes_writes: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(
        log: Log,
        dedup: DedupWindow,
        state: Arc<State>,
        writer: LiveWriter,
        budget: MemoryBudget,
    ) -> Result<Self> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let takes_writes = watch::Sender::new(true);
        let worker = Worker {
            log,
            dedup,
            waiting_bytes: waiting_bytes.clone(),
            takes_writes: takes_writes.clone(),
            failing: None,
            budget,
            state,
            writer,
        };

        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || worker.run(requests))
            .map_err(|e| {
                Error::Storage(format!("the committer's thread does not start: {e}").into())
            })?;
        Ok(Self { queue: Some(queue), waiting_bytes, takes_writes, thread: Some(thread) })
    }

    /// Whether writes are accepted, and every change to come.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.takes_writes.subscribe()
    }

    /// Bytes of writes that wait.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed)
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
                mpsc::error::TrySendError::Closed(_) => Error::ShuttingDown,
            },
        )?;
        receipt.await.map_err(|_| Error::ShuttingDown)?
    }

    pub(super) fn submit_blocking(&self, write: Write) -> Result<Pending> {
        let bytes = small_enough(&write)?;
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let (reply, receipt) = oneshot::channel();
        self.queue()?
            .blocking_send(Request { write, bytes, arrived: Instant::now(), reply })
            .map_err(|_| Error::ShuttingDown)?;
        Ok(Pending(receipt))
    }

    fn queue(&self) -> Result<&mpsc::Sender<Request>> {
        self.queue.as_ref().ok_or(Error::ShuttingDown)
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

/// Checks the size of a batch; returns it in bytes.
fn small_enough(write: &Write) -> Result<usize> {
    let bytes = write.bytes();
    // What another store has written fits into a block.
    let is_copy = matches!(write, Write::Copied(_));
    if bytes > BATCH_BYTES && !is_copy {
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

/// What the thread works with.
struct Worker {
    log: Log,
    dedup: DedupWindow,
    state: Arc<State>,
    /// The right to change live state.
    writer: LiveWriter,
    waiting_bytes: Arc<AtomicUsize>,
    takes_writes: watch::Sender<bool>,
    /// Why the last group failed; none where it succeeded.
    failing: Option<String>,
    budget: MemoryBudget,
}

impl Worker {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut latency = WriteLatency::default();
        while let Some(first) = requests.blocking_recv() {
            let mut records = first.write.len();
            let mut bytes = first.bytes;
            let mut group = vec![first];

            // A write after an erasure may use the same name again, for another idx.
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

            if let Ok(receipts) = &outcome {
                self.count(&group, receipts, &mut latency);
            }
            // Another may write by now, without what was written here.
            let outcome = if self.may_acknowledge(&group) { outcome } else { Err(Error::SeatLost) };
            acknowledge(group, outcome);
            // A copy that pauses would lose its lease to answer.
            let may_pause = !self.state.lease.is_follower();
            if may_pause && self.state.checkpoints.is_due(self.log.next_offset()) {
                self.write_checkpoint();
            }
        }
        if self.state.checkpoints.is_due_at_close(self.log.next_offset()) {
            self.write_checkpoint();
        }
    }

    fn write_checkpoint(&mut self) {
        // A part of live state at a time is in memory twice.
        if let Some(full) = self.budget.check() {
            tracing::warn!(reason = full, "no checkpoint is written: the next start takes longer");
            self.state.checkpoints.note_tried(self.log.next_offset());
            return;
        }
        checkpoint::write(&self.state, &mut self.log, &self.dedup, &mut self.writer);
    }

    /// Counts what a group wrote, which is visible now.
    fn count(&self, group: &[Request], receipts: &[Result<Receipt>], latency: &mut WriteLatency) {
        let stats = &self.state.stats;
        let written = group.iter().zip(receipts).filter(|(_, receipt)| receipt.is_ok());
        // No list follows what was shown.
        let written = written.filter(|(r, _)| !matches!(r.write, Write::Exposures));
        for (request, _) in written {
            stats.effect.observe(request.arrived.elapsed().as_secs_f64());
            latency.note(request.arrived);
        }
        let duplicates = receipts.iter().flatten().map(|receipt| receipt.duplicates as u64);
        stats.duplicates.inc_by(duplicates.sum());
    }

    /// Logs once when writes begin to fail, and once when they succeed again.
    fn report(&mut self, outcome: &Result<Vec<Result<Receipt>>>) {
        let failing = outcome.as_ref().err().map(Error::to_string);
        if failing == self.failing {
            return;
        }

        match (&failing, self.log.poison()) {
            (None, _) => tracing::info!("writes are accepted again"),
            // The error repeats an earlier one, which was logged.
            (Some(_), Some(_)) if !*self.takes_writes.borrow() => {}
            (Some(error), Some(_)) => {
                tracing::error!(error, "a write failed; no write is accepted until a restart");
            }
            (Some(error), None) => {
                tracing::error!(error, "writes fail and have no effect");
            }
        }

        self.takes_writes.send_if_modified(|takes| {
            std::mem::replace(takes, self.log.poison().is_none()) != *takes
        });
        self.failing = failing;
    }

    /// Whether the group may be acknowledged: what changes the store needs the lease to write.
    fn may_acknowledge(&self, group: &[Request]) -> bool {
        self.state.seats.may_write() || group.iter().all(|request| request.write.follows())
    }

    /// Writes the log, then live state; returns a receipt for each request that was not refused
    /// individually. On failure nothing changes.
    fn commit(&mut self, group: &[Request]) -> Result<Vec<Result<Receipt>>> {
        for request in group {
            match request.write {
                Write::Seal => self.log.roll()?,
                Write::Flush => self.log.flush()?,
                _ => {}
            }
        }
        if !self.may_acknowledge(group) {
            return Err(Error::SeatLost);
        }
        if self.state.lease.is_follower() {
            return group.iter().map(|request| self.copy(&request.write).map(Ok)).collect();
        }

        let Self { log, dedup, state, writer, budget, .. } = self;
        let mark = dedup.mark();
        let limits = **state.limits.load();
        let full = budget.check().or_else(|| memory_budget::check_store(state, limits));
        let shown = waiting_exposures(state, group);
        // What is shown grows the store.
        let shown_len = if full.is_none() { shown.len() } else { 0 };
        state.stats.exposures_lost.inc_by((shown.len() - shown_len) as u64);

        let mut staged = Staged::new(state, limits, full);
        staged.add_exposures(&shown[..shown_len]);
        for request in group {
            staged.add(&request.write, dedup, log.next_offset());
        }

        if staged.records.is_empty() {
            return Ok(staged.receipts);
        }

        let written = log.append(&staged.block).and_then(|first| log.commit().map(|()| first));
        let first = written.inspect_err(|_| {
            dedup.forget_since(mark);
            state.stats.exposures_lost.inc_by(shown_len as u64);
        })?;
        state.stats.exposures.inc_by(shown_len as u64);
        staged.users.publish(writer);
        staged.items.publish(writer);

        let mut applying = Applying::begin(state, writer);
        for (offset, record) in (first..).zip(&staged.records) {
            applying.apply(offset, record);
        }
        applying.end();
        Ok(staged.receipts)
    }

    /// Appends blocks of the log that is followed, then applies them to live state. What was appended before
    /// a failure is there; the copy continues behind it.
    fn copy(&mut self, write: &Write) -> Result<Receipt> {
        let Write::Copied(blocks) = write else { return Ok(Receipt::default()) };
        let Self { log, dedup, state, writer, .. } = self;
        let mut failed = None;
        let mut appended = 0;
        for block in blocks {
            if let Err(error) = log.append_copy(block) {
                failed = Some(error);
                break;
            }
            appended += 1;
        }
        log.commit()?;

        let mut recorded = 0;
        let mut applying = Applying::begin(state, writer);
        for block in &blocks[..appended] {
            block.visit(&mut |entry| {
                // The one that takes the writer's place must know them.
                dedup.replay(&entry);
                match entry {
                    Entry::Record(offset, record) => applying.apply(offset, &record),
                    name => applying.name(&name),
                }
            });
            recorded += block.len();
        }
        applying.end();
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(Receipt { recorded, offset: state.live.offset(), ..Receipt::default() }),
        }
    }
}

/// Applies what is on disk to live state and to what is measured.
struct Applying<'a> {
    state: &'a State,
    writer: &'a mut LiveWriter,
    measurements: MutexGuard<'a, Measurements>,
    /// Whether a model is there, or is known to come, that does not know what is applied.
    trained: bool,
}

impl<'a> Applying<'a> {
    fn begin(state: &'a State, writer: &'a mut LiveWriter) -> Self {
        // Before the first model no pair is newer than the model.
        let trained = state.models.generation() > 0;
        Self { state, writer, measurements: state.measurements.lock(), trained }
    }

    /// Applies the name of the next user or item.
    fn name(&mut self, entry: &Entry<'_>) {
        self.state.live.replay(self.writer, entry);
    }

    fn apply(&mut self, offset: Offset, record: &Record<'_>) {
        let state = self.state;
        measure::note(&mut self.measurements, &state.live, &state.unmeasured, record);
        state.live.apply(self.writer, offset, record);
        if let Record::Event(event) = record {
            state.stats.note_event(event.kind);
            if self.trained || state.lease.notes_pairs(offset) {
                state.live.note_pairs(self.writer, offset, event);
            }
        }
        if let Some(active) = &state.active_lists {
            note_active(active, &state.live, record);
        }
    }

    fn end(self) {
        let Self { state, writer, measurements, .. } = self;
        drop(measurements);
        // The write is durable whether or not the log can be read now: the next write tries again.
        if let Err(error) = state.live.remake_parted(writer, |visit| state.replay(visit)) {
            tracing::error!(%error, "what parted ids did cannot be read from the log yet");
        }
        state.log_end.send_replace(state.live.offset());
    }
}

/// What was shown before a group of writes: outcomes of an answer stand behind it in the log.
fn waiting_exposures(state: &State, group: &[Request]) -> Vec<Exposure<'static>> {
    let may_follow =
        |write: &Write| matches!(write, Write::Exposures | Write::Events(_) | Write::TakenIn(..));
    if group.iter().any(|request| may_follow(&request.write)) {
        state.exposures.drain()
    } else {
        Vec::new()
    }
}

/// Lists of active users follow their events.
fn note_active(active: &ActiveLists, live: &Live, record: &Record) {
    match record {
        Record::Event(event) => active.note_event(live.resolved(event.user)),
        Record::User(user, profile) if !profile.consent => active.forget(live.resolved(*user)),
        // A list that was made before it would show what the user no longer wants.
        Record::Erased(user, _) | Record::Preferences(user, _) => {
            active.forget(live.resolved(*user));
        }
        Record::Linked(_, user) => active.forget(*user),
        Record::Unlinked(alias) => {
            let links = live.links.read();
            links.parted().for_each(|user| active.forget(user));
            active.forget(*alias);
        }
        _ => {}
    }
}

fn acknowledge(group: Vec<Request>, outcome: Result<Vec<Result<Receipt>>>) {
    match outcome {
        Ok(receipts) => {
            for (request, receipt) in group.into_iter().zip(receipts) {
                // The caller may have gone; its write is done all the same.
                let _ = request.reply.send(receipt);
            }
        }
        Err(Error::SeatLost) => {
            for request in group {
                let _ = request.reply.send(Err(Error::SeatLost));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for request in group {
                let _ = request.reply.send(Err(Error::Storage(error.clone().into())));
            }
        }
    }
}
