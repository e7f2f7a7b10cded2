//! Reads topics from where the log says that reading goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, ClientContext, Offset, Statistics, TopicPartitionList};

use super::message::{Kind, LEFT_OUT, Message};
use super::options::KafkaOptions;
use crate::domain::BoxError;

/// Time that brokers have to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum size of the messages that are read at once, in bytes.
const MAX_BYTES: usize = 32 << 20;

/// Maximum number of reports that are looked through for the reason of an error.
const REPORTS: usize = 100;

/// A topic and the number of a partition.
pub(super) type Partition = (String, u32);

/// Where a partition is read from.
pub(super) struct Assigned {
    pub(super) partition: Partition,
    /// Where reading it was to go on; none the first time.
    pub(super) next: Option<u64>,
    pub(super) from: u64,
    pub(super) end: u64,
}

/// Reads the topics that are configured.
pub(super) struct Consumer {
    client: BaseConsumer<Context>,
    topics: Vec<(Kind, String)>,
    /// The topic of refused messages; empty: none.
    dead_letters: String,
    /// The partitions that are read, and from which offset on.
    assigned: BTreeMap<Partition, u64>,
}

/// The settings of any client of the brokers.
pub(super) fn client(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.brokers)
        .set("client.id", "qianmian")
        .set("security.protocol", &options.security)
        .set("reconnect.backoff.max.ms", "1000");
    let given = [
        ("sasl.mechanism", options.mechanism.as_str()),
        ("sasl.username", &options.username),
        ("sasl.password", options.password.reveal()),
        ("ssl.ca.location", &options.ca),
    ];
    given.into_iter().filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| {
        config.set(name, value);
    });
    config
}

/// Why no client can be made of the settings.
pub(super) fn unusable(error: &KafkaError) -> String {
    let error = error.to_string();
    let lacks = ["OpenSSL", "not supported in this build", "recompile librdkafka"];
    let hint = if lacks.into_iter().any(|what| error.contains(what)) {
        "; TLS and SCRAM need a build with `--features kafka,rdkafka/ssl`"
    } else {
        ""
    };
    format!("kafka: {error}{hint}")
}

impl Consumer {
    /// A consumer that reads nothing yet.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub(super) fn open(options: &KafkaOptions) -> Result<Self, String> {
        let mut config = client(options);
        config
            // No group is joined; the client asks for a name.
            .set("group.id", "qianmian")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.wait.max.ms", "100")
            .set("statistics.interval.ms", "1000");
        let client = config.create_with_context(Context::default());
        let client = client.map_err(|error| unusable(&error))?;

        let all = [
            (Kind::Items, &options.items),
            (Kind::Users, &options.users),
            (Kind::Events, &options.events),
        ];
        let given = all.into_iter().filter(|(_, topic)| !topic.is_empty());
        let topics = given.map(|(kind, topic)| (kind, topic.clone())).collect();
        let dead_letters = options.dead_letters.clone();
        Ok(Self { client, topics, dead_letters, assigned: BTreeMap::new() })
    }

    /// Reads all partitions from where `next` says, those that it does not know from their beginning; returns where
    /// each is read from.
    pub(super) fn assign(
        &mut self,
        next: impl Fn(&Partition) -> Option<u64>,
    ) -> Result<Vec<Assigned>, BoxError> {
        self.look()?;
        let mut list = TopicPartitionList::new();
        let mut all = Vec::new();
        for partition in self.partitions()? {
            let bounds = self.bounds(&partition)?;
            let next = next(&partition);
            let from = next.map_or(bounds.0, |next| start(&partition, next, bounds));
            let (topic, number) = &partition;
            list.add_partition_offset(topic, *number as i32, Offset::Offset(from as i64))?;
            all.push(Assigned { partition, next, from, end: bounds.1 });
        }
        self.client.assign(&list)?;
        self.assigned = all.iter().map(|of| (of.partition.clone(), of.from)).collect();
        Ok(all)
    }

    /// An error of a call, with what the client has reported of its connections, which says more. It reads nothing
    /// more afterwards.
    pub(super) fn explained(&self, error: BoxError) -> BoxError {
        if error.downcast_ref::<KafkaError>().is_none() {
            return error;
        }
        // It hands over what it reports where it is polled, one report each time.
        for _ in 0..REPORTS {
            self.client.poll(Duration::ZERO);
        }
        match self.client.context().reported.lock().take() {
            Some(reported) => format!("{error}: {reported}").into(),
            None => error,
        }
    }

    /// Looks at all topics, also at that of refused messages, so that it is not missed when the first is refused;
    /// returns the number of partitions to read.
    pub(super) fn look(&self) -> Result<usize, BoxError> {
        if !self.dead_letters.is_empty() {
            self.partitions_of(&self.dead_letters)?;
        }
        Ok(self.partitions()?.len())
    }

    /// Whether the topics have the partitions that are read.
    pub(super) fn is_complete(&self) -> Result<bool, BoxError> {
        Ok(self.partitions()?.iter().eq(self.assigned.keys()))
    }

    /// The next messages, as far as they are there, at most `max`; waits for the first one until `patience` ends.
    pub(super) fn read(&self, max: usize, patience: Duration) -> Result<Vec<Message>, BoxError> {
        let mut messages = Vec::new();
        let (mut bytes, mut patience) = (0, patience);
        while messages.len() < max && bytes < MAX_BYTES {
            match self.client.poll(patience) {
                None => break,
                Some(Ok(message)) => {
                    bytes += message.payload_len() + message.key_len();
                    messages.extend(self.message(&message));
                    patience = Duration::ZERO;
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Ok(messages)
    }

    fn message(&self, message: &BorrowedMessage<'_>) -> Option<Message> {
        let is_of = |(_, topic): &&(Kind, String)| topic == message.topic();
        let (kind, topic) = self.topics.iter().find(is_of)?;
        Some(Message {
            kind: *kind,
            topic: topic.clone(),
            partition: message.partition() as u32,
            offset: message.offset() as u64,
            time_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            is_left_out: has_header(message, LEFT_OUT),
        })
    }

    /// Up to which offset each partition was read, and, as far as it is known, where it ends.
    pub(super) fn standing(&self) -> Result<BTreeMap<Partition, (u64, Option<u64>)>, BoxError> {
        let ends = self.client.context().ends.lock().clone();
        let mut read = self.assigned.clone();
        for of in self.client.position()?.elements() {
            // It has no offset before anything is read.
            if let Offset::Offset(offset) = of.offset() {
                read.insert((of.topic().to_owned(), of.partition() as u32), offset.max(0) as u64);
            }
        }
        let standing = |(partition, read)| {
            let end = ends.get(&partition).copied();
            (partition, (read, end))
        };
        Ok(read.into_iter().map(standing).collect())
    }

    /// Where each partition ends now.
    pub(super) fn ends(&self) -> Result<BTreeMap<Partition, u64>, BoxError> {
        let ends = self.assigned.keys().map(|partition| {
            let (_, end) = self.bounds(partition)?;
            Ok((partition.clone(), end))
        });
        ends.collect()
    }

    /// The first offset of a partition, and that behind its last one.
    fn bounds(&self, (topic, number): &Partition) -> Result<(u64, u64), BoxError> {
        let (first, end) = self.client.fetch_watermarks(topic, *number as i32, PATIENCE)?;
        Ok((first.max(0) as u64, end.max(0) as u64))
    }

    fn partitions(&self) -> Result<BTreeSet<Partition>, BoxError> {
        let mut partitions = BTreeSet::new();
        for (_, topic) in &self.topics {
            partitions.extend(self.partitions_of(topic)?);
        }
        Ok(partitions)
    }

    fn partitions_of(&self, topic: &str) -> Result<Vec<Partition>, BoxError> {
        let metadata = self.client.fetch_metadata(Some(topic), PATIENCE)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        if let Some(code) = found.and_then(|found| found.error()) {
            let code = RDKafkaErrorCode::from(code);
            return Err(format!("the topic {topic} cannot be read: {code}").into());
        }
        let found = found.filter(|found| !found.partitions().is_empty());
        let found = found.ok_or_else(|| format!("there is no topic {topic}"))?;
        let numbers = found.partitions().iter().map(|partition| partition.id() as u32);
        Ok(numbers.map(|number| (topic.to_owned(), number)).collect())
    }
}

fn has_header(message: &BorrowedMessage<'_>, name: &str) -> bool {
    message.headers().is_some_and(|headers| headers.iter().any(|header| header.key == name))
}

/// Whether reading goes on by itself: once brokers are back, and where the group, which is not joined, may not be
/// looked at.
fn is_passing(error: &KafkaError) -> bool {
    let KafkaError::MessageConsumption(code) = error else { return false };
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::GroupAuthorizationFailed
    )
}

/// Where reading a partition goes on that was read up to `next`, and has messages from `first` up to `end`.
fn start((topic, partition): &Partition, next: u64, (first, end): (u64, u64)) -> u64 {
    if next < first {
        let lost = first - next;
        tracing::error!(topic, partition, lost, "messages were deleted before they were taken in");
        return first;
    }
    if next <= end {
        return next;
    }
    // Of a topic that was made anew all is there; one that has lost its end goes on behind it.
    let from = if first == 0 { 0 } else { end };
    tracing::error!(
        topic,
        partition,
        next,
        end,
        from,
        "the topic ends before what was taken in of it: it was made anew, or its brokers have lost messages"
    );
    from
}

/// What the client reports.
#[derive(Default)]
struct Context {
    /// By partition: the offset behind the last message that may be read.
    ends: Mutex<BTreeMap<Partition, u64>>,
    /// What it reported last of its connections.
    reported: Mutex<Option<String>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What concerns the operator is an error of a call, too.
        tracing::debug!(?level, facility, message, "kafka client");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        // That all are down follows from the reports of each.
        if !matches!(error, KafkaError::Global(RDKafkaErrorCode::AllBrokersDown)) {
            *self.reported.lock() = Some(reason.to_owned());
        }
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = self.ends.lock();
        for (topic, of_topic) in statistics.topics {
            let known = of_topic.partitions.into_iter().filter(|(_, of)| of.ls_offset >= 0);
            let known = known.filter_map(|(number, of)| {
                let partition = (topic.clone(), u32::try_from(number).ok()?);
                Some((partition, of.ls_offset as u64))
            });
            ends.extend(known);
        }
    }
}

impl ConsumerContext for Context {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_goes_on_where_its_messages_are() {
        let partition = ("shop".to_owned(), 0);
        for (next, bounds, from) in [
            (7, (0, 9), 7),
            (9, (0, 9), 9),
            (3, (5, 9), 5),
            (1_000, (0, 50), 0),
            (1_000, (900, 997), 997),
            (1_000, (0, 0), 0),
        ] {
            assert_eq!(start(&partition, next, bounds), from, "{next} of {bounds:?}");
        }
    }
}
