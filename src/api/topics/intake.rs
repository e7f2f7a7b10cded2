//! Takes in what is read from topics.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::consumer::{Assigned, Consumer, Partition};
use super::dead_letters::DeadLetters;
use super::kept;
use super::message::{self, Message};
use super::options::KafkaOptions;
use super::steps::{Step, Steps};
use crate::api::wire::json::Methods;
use crate::domain::{BoxError, Error, Violation, now_ms};
use crate::engine::{Engine, TakenIn, Write};
use crate::host::Host;
use crate::telemetry::Failing;

/// Time for which the first message is waited for.
const WAIT: Duration = Duration::from_millis(100);
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// Time between two looks at which partitions there are, and at how far behind they are.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// The thread that takes in topics.
#[derive(Debug)]
pub struct Topics {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Topics {
    /// Starts to take in the topics that the options name. Call it within a tokio runtime.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn start(options: &KafkaOptions, host: Arc<Host>) -> Result<Self, String> {
        options.check()?;
        // What is wrong with the settings shows now.
        drop(Consumer::open(options)?);
        let stopping = Arc::new(AtomicBool::new(false));
        if let Ok(store) = host.store(&options.store) {
            store.engine.intake().begin();
        }
        let taking = Taking {
            letters: DeadLetters::open(options)?,
            methods: Methods::read().map_err(|error| error.to_string())?,
            options: options.clone(),
            runtime: Handle::current(),
            stopping: stopping.clone(),
            is_looked_at: false,
            refused: BTreeSet::new(),
            refusing: Failing::new("a message is refused"),
        };
        let thread = std::thread::Builder::new().name("topics".to_owned());
        let thread = thread.spawn(move || taking.run(&host));
        let thread =
            thread.map_err(|error| format!("the topics' thread does not start: {error}"))?;
        Ok(Self { stopping, thread })
    }

    /// Looks at whether the topics can be read now; returns the number of their partitions.
    ///
    /// # Errors
    /// A sentence that names the setting, the topic or the broker.
    pub fn look(options: &KafkaOptions) -> Result<usize, String> {
        options.check()?;
        let consumer = Consumer::open(options)?;
        consumer.look().map_err(|error| consumer.explained(error).to_string())
    }

    /// Stops once what was read is written or refused.
    pub async fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        let ended = tokio::task::spawn_blocking(|| self.thread.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the topics' thread panicked");
        }
    }
}

/// What the thread works with.
struct Taking {
    options: KafkaOptions,
    letters: Option<DeadLetters>,
    methods: Methods,
    runtime: Handle,
    stopping: Arc<AtomicBool>,
    /// Whether the settings of the topics were looked at.
    is_looked_at: bool,
    /// Refused messages of what is being taken in, so that none is refused again when a write after it fails.
    refused: BTreeSet<(Partition, u64)>,
    refusing: Failing,
}

impl Taking {
    fn run(mut self, host: &Host) {
        let mut failing = Failing::new("the topics are not taken in");
        loop {
            let store = host.store(&self.options.store).map_err(BoxError::from);
            let take_in =
                || store.and_then(|store| self.take_in_store(&store.engine, &mut failing));
            // A bug that one message shows must not end the reading of all for good.
            let taken = catch_unwind(AssertUnwindSafe(take_in));
            let taken = taken.unwrap_or_else(|_| Err("a bug: taking in panicked".into()));
            if let Ok(store) = host.store(&self.options.store) {
                store.engine.intake().note_reading(false);
            }
            if self.is_stopping() {
                return;
            }
            if let Err(error) = taken {
                failing.again(&self.options.store, error.to_string());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Takes in topics until the server stops, the store closes, or something fails.
    fn take_in_store(
        &mut self,
        engine: &Arc<Engine>,
        failing: &mut Failing,
    ) -> Result<(), BoxError> {
        engine.intake().begin();
        let mut consumer = Consumer::open(&self.options)?;
        let taken = self.take_in_from(&mut consumer, engine, failing);
        taken.map_err(|error| consumer.explained(error))
    }

    fn take_in_from(
        &mut self,
        consumer: &mut Consumer,
        engine: &Arc<Engine>,
        failing: &mut Failing,
    ) -> Result<(), BoxError> {
        self.assign(engine, consumer)?;
        if !self.is_looked_at {
            self.is_looked_at = kept::look(&self.options, &self.runtime);
        }
        let mut looked = Instant::now();
        let mut counted = Instant::now();
        let mut moment: Option<Moment> = None;

        while !self.is_stopping() && !engine.is_closing() {
            let messages = consumer.read(self.options.batch, WAIT)?;
            self.take(engine, &messages)?;
            self.refused.clear();
            failing.ended(&self.options.store);
            engine.intake().note_reading(true);

            let (intake, asked) = (engine.intake(), engine.intake().asked());
            if moment.is_none() && asked > intake.reached() {
                // What was sent to a new partition counts too.
                self.assign_new(engine, consumer)?;
                moment = Some(Moment { number: asked, ends: consumer.ends()? });
            }
            if let Some(of) = &moment
                && of.is_reached(consumer)?
            {
                intake.note_reached(of.number);
                moment = None;
            }
            if counted.elapsed() >= COUNT_EVERY {
                count(engine, consumer)?;
                counted = Instant::now();
            }
            if looked.elapsed() >= LOOK_EVERY {
                self.assign_new(engine, consumer)?;
                looked = Instant::now();
            }
        }
        Ok(())
    }

    /// Reads each partition from its position in the log. Where the partition has no message there, the position at
    /// which reading begins is written first: messages before the one in the log are skipped.
    fn assign(&mut self, engine: &Engine, consumer: &mut Consumer) -> Result<(), BoxError> {
        for of in consumer.assign(|partition| next(engine, partition))? {
            let Assigned { partition: (topic, partition), next, from, end } = of;
            engine.intake().note_behind(&topic, partition, end.saturating_sub(from));
            if next.is_some_and(|next| next != from) {
                self.refused.clear();
                let part = TakenIn { topic, partition, from: next, next: from };
                engine.writer().take_in(Write::Events(Vec::new()), vec![part])?;
            }
        }
        Ok(())
    }

    /// The same where the topics have other partitions than those that are read.
    fn assign_new(&mut self, engine: &Engine, consumer: &mut Consumer) -> Result<(), BoxError> {
        if !consumer.is_complete()? {
            tracing::info!("the topics have other partitions than before");
            self.assign(engine, consumer)?;
        }
        Ok(())
    }

    /// Writes messages, or refuses them.
    fn take(&mut self, engine: &Engine, messages: &[Message]) -> Result<(), BoxError> {
        match (self.take_all(engine, messages), messages) {
            (Err(error), [message]) => match error.downcast::<Error>().map(|error| *error) {
                Ok(Error::Invalid(violation)) => {
                    self.refuse(engine, vec![(message, violation)])?;
                    let nothing = Step::nothing(message.partition, message.offset + 1);
                    write(engine, &message.topic, nothing)
                }
                Ok(error) => Err(error.into()),
                Err(error) => Err(error),
            },
            (Err(error), messages) if matches!(error.downcast_ref(), Some(Error::Invalid(_))) => {
                // One of them is refused by the store: each is tried alone.
                messages.chunks(1).try_for_each(|one| self.take(engine, one))
            }
            (taken, _) => taken,
        }
    }

    fn take_all(&mut self, engine: &Engine, messages: &[Message]) -> Result<(), BoxError> {
        let now_ms = now_ms();
        let mut by_topic: BTreeMap<&str, Steps> = BTreeMap::new();
        let mut refused = Vec::new();
        for message in messages {
            if next(engine, &message.partition()).is_some_and(|next| message.offset < next) {
                continue;
            }
            let change = match message::read(message, &self.methods, now_ms) {
                Ok(change) => Some(change),
                Err(violation) => {
                    refused.push((message, violation));
                    None
                }
            };
            let steps = by_topic.entry(&message.topic).or_default();
            steps.add(message.partition, message.offset + 1, change);
        }

        self.refuse(engine, refused)?;
        for (topic, steps) in by_topic {
            for step in steps.into_steps() {
                write(engine, topic, step)?;
            }
        }
        Ok(())
    }

    fn refuse(
        &mut self,
        engine: &Engine,
        mut refused: Vec<(&Message, Violation)>,
    ) -> Result<(), BoxError> {
        let place = |message: &Message| (message.partition(), message.offset);
        refused.retain(|(message, _)| !self.refused.contains(&place(message)));
        let Some((message, violation)) = refused.first() else { return Ok(()) };
        if let Some(letters) = &self.letters {
            letters.send(&refused, &self.runtime)?;
        }
        self.refused.extend(refused.iter().map(|(message, _)| place(message)));
        engine.intake().refused.inc_by(refused.len() as u64);
        let Message { topic, partition, offset, .. } = message;
        let reason = format!("{topic}, partition {partition}, offset {offset}: {violation}");
        self.refusing.again(&self.options.store, reason);
        Ok(())
    }
}

/// Writes a step, and where reading goes on behind it.
fn write(engine: &Engine, topic: &str, step: Step) -> Result<(), BoxError> {
    let parts = step.ends.into_iter().map(|(partition, end)| TakenIn {
        topic: topic.to_owned(),
        partition,
        from: next(engine, &(topic.to_owned(), partition)),
        next: end,
    });
    engine.writer().take_in(step.write, parts.collect())?;
    engine.intake().messages.inc_by(step.messages);
    Ok(())
}

/// Where the topics ended when someone asked to wait for what is in them.
struct Moment {
    number: u64,
    ends: BTreeMap<Partition, u64>,
}

impl Moment {
    /// Whether all is taken in that was there: what was read is written by now.
    fn is_reached(&self, consumer: &Consumer) -> Result<bool, BoxError> {
        let standing = consumer.standing()?;
        let is_read = |(partition, end): (&Partition, &u64)| {
            standing.get(partition).is_some_and(|(read, _)| read >= end)
        };
        Ok(self.ends.iter().all(is_read))
    }
}

/// Where reading a partition goes on.
fn next(engine: &Engine, (topic, partition): &Partition) -> Option<u64> {
    engine.live().positions.read().next(topic, *partition)
}

/// Counts the messages that are not taken in yet.
fn count(engine: &Engine, consumer: &Consumer) -> Result<(), BoxError> {
    for ((topic, partition), (read, end)) in consumer.standing()? {
        if let Some(end) = end {
            engine.intake().note_behind(&topic, partition, end.saturating_sub(read));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::topics::message::Kind;
    use crate::engine::EngineOptions;

    #[tokio::test]
    async fn a_message_is_refused_once_whatever_comes_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path(), EngineOptions::default()).unwrap();
        let mut taking = Taking {
            options: KafkaOptions::default(),
            letters: None,
            methods: Methods::read().unwrap(),
            runtime: Handle::current(),
            stopping: Arc::default(),
            is_looked_at: false,
            refused: BTreeSet::new(),
            refusing: Failing::new("a message is refused"),
        };
        let at = |offset| Message {
            kind: Kind::Items,
            topic: "items".into(),
            partition: 0,
            offset,
            time_ms: None,
            key: None,
            value: None,
            is_left_out: false,
        };
        let mut refuse = |offsets: &[u64]| {
            let messages: Vec<_> = offsets.iter().map(|&offset| at(offset)).collect();
            let why = Violation::new("key", "is missing");
            let refused = messages.iter().map(|message| (message, why.clone())).collect();
            taking.refuse(&engine, refused).unwrap();
            engine.intake().refused.get()
        };
        // The store refuses one that lies before another that could not be read.
        assert_eq!([refuse(&[10]), refuse(&[5]), refuse(&[5, 10]), refuse(&[11])], [1, 2, 2, 3]);
    }
}
