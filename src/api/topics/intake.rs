//! Takes in what is read from topics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::consumer::{Consumer, Partition};
use super::dead_letters::DeadLetters;
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
        let taking = Taking {
            letters: DeadLetters::open(options)?,
            methods: Methods::read().map_err(|error| error.to_string())?,
            options: options.clone(),
            runtime: Handle::current(),
            stopping: stopping.clone(),
            refusing: Failing::new("a message is refused"),
        };
        let thread = std::thread::Builder::new().name("topics".to_owned());
        let thread = thread.spawn(move || taking.run(&host));
        let thread =
            thread.map_err(|error| format!("the topics' thread does not start: {error}"))?;
        Ok(Self { stopping, thread })
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
    refusing: Failing,
}

impl Taking {
    fn run(mut self, host: &Host) {
        let mut failing = Failing::new("the topics are not taken in");
        while !self.is_stopping() {
            let store = host.store(&self.options.store).map_err(BoxError::from);
            let taken = store.and_then(|store| self.take_in_store(&store.engine, &mut failing));
            if let Err(error) = taken
                && !self.is_stopping()
            {
                failing.again(&self.options.store, error.to_string());
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Takes in topics until the server stops, or something fails.
    fn take_in_store(
        &mut self,
        engine: &Arc<Engine>,
        failing: &mut Failing,
    ) -> Result<(), BoxError> {
        engine.intake().set_on(true);
        let mut consumer = Consumer::open(&self.options)?;
        consumer.assign(|partition| next(engine, partition))?;
        failing.ended(&self.options.store);
        let mut looked = Instant::now();
        let mut counted = Instant::now();
        let mut moment: Option<Moment> = None;

        while !self.is_stopping() {
            let messages = consumer.read(self.options.batch, WAIT)?;
            self.take(engine, &messages)?;

            let (intake, asked) = (engine.intake(), engine.intake().asked());
            if moment.is_none() && asked > intake.reached() {
                moment = Some(Moment { number: asked, ends: consumer.ends()? });
            }
            if let Some(of) = moment.take_if(|of| of.is_reached(&consumer)) {
                intake.note_reached(of.number);
            }
            if counted.elapsed() >= COUNT_EVERY {
                count(engine, &consumer)?;
                counted = Instant::now();
            }
            if looked.elapsed() >= LOOK_EVERY {
                if !consumer.is_complete()? {
                    tracing::info!("the topics have other partitions than before");
                    consumer.assign(|partition| next(engine, partition))?;
                }
                looked = Instant::now();
            }
        }
        Ok(())
    }

    /// Writes messages, or refuses them.
    fn take(&mut self, engine: &Engine, messages: &[Message]) -> Result<(), BoxError> {
        match (self.take_all(engine, messages), messages) {
            (Err(error), [message]) => match error.downcast::<Error>().map(|error| *error) {
                Ok(Error::Invalid(violation)) => {
                    self.refuse(engine, &[(message, violation)])?;
                    let end = BTreeMap::from([(message.partition, message.offset + 1)]);
                    let nothing = Step { write: Write::Events(Vec::new()), ends: end };
                    self.write(engine, &message.topic, nothing)
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
        let mut taken = 0;
        for message in messages {
            let partition = (message.topic.clone(), message.partition);
            if next(engine, &partition).is_some_and(|next| message.offset < next) {
                continue;
            }
            taken += 1;
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

        self.refuse(engine, &refused)?;
        for (topic, steps) in by_topic {
            for step in steps.into_steps() {
                self.write(engine, topic, step)?;
            }
        }
        engine.intake().messages.inc_by(taken);
        Ok(())
    }

    /// Writes a step, and where reading goes on behind it.
    fn write(&self, engine: &Engine, topic: &str, step: Step) -> Result<(), BoxError> {
        let parts = step.ends.into_iter().map(|(partition, end)| TakenIn {
            topic: topic.to_owned(),
            partition,
            from: next(engine, &(topic.to_owned(), partition)),
            next: end,
        });
        let written = engine.writer().take_in(step.write, parts.collect());
        self.runtime.block_on(written)?;
        Ok(())
    }

    fn refuse(
        &mut self,
        engine: &Engine,
        refused: &[(&Message, Violation)],
    ) -> Result<(), BoxError> {
        let Some((message, violation)) = refused.first() else { return Ok(()) };
        if let Some(letters) = &self.letters {
            letters.send(refused, &self.runtime)?;
        }
        engine.intake().refused.inc_by(refused.len() as u64);
        let Message { topic, partition, offset, .. } = message;
        let reason = format!("{topic}, partition {partition}, offset {offset}: {violation}");
        self.refusing.again(&self.options.store, reason);
        Ok(())
    }
}

/// Where the topics ended when someone asked to wait for what is in them.
struct Moment {
    number: u64,
    ends: BTreeMap<Partition, u64>,
}

impl Moment {
    /// Whether all is taken in that was there: what was read is written by now.
    fn is_reached(&self, consumer: &Consumer) -> bool {
        let Ok(standing) = consumer.standing() else { return false };
        let is_read = |(partition, end): (&Partition, &u64)| {
            standing.get(partition).is_some_and(|(read, _)| read >= end)
        };
        self.ends.iter().all(is_read)
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
