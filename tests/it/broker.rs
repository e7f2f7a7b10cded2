//! A Kafka broker of its own for a test, where Java and Maven are there.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::sharing::free_address;

/// A broker; killed when it is dropped.
pub(crate) struct Broker {
    child: Child,
    folder: TempDir,
    pub(crate) address: String,
    controller: String,
}

impl Broker {
    /// Starts it; none, which is said, where it cannot be had.
    pub(crate) async fn start() -> Option<Broker> {
        let folder = tempfile::tempdir().unwrap();
        let (address, controller) = (free_address(), free_address());
        let child = run(folder.path(), &address, &controller);
        let mut broker = Broker { child, folder, address, controller };
        broker.is_up().await.then_some(broker)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after it was killed.
    pub(crate) async fn restart(&mut self) {
        self.child = run(self.folder.path(), &self.address, &self.controller);
        assert!(self.is_up().await);
    }

    /// Waits until it answers; false where it cannot be had.
    async fn is_up(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                assert_eq!(ended.code(), Some(3), "the broker ends");
                eprintln!("skipped: no Kafka broker to be had (it needs Java and Maven)");
                return false;
            }
            let answers = {
                let config = self.config();
                tokio::task::spawn_blocking(move || {
                    let consumer: BaseConsumer = config.create().unwrap();
                    let metadata = consumer.fetch_metadata(None, Duration::from_secs(1));
                    metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
                })
            };
            if answers.await.unwrap() {
                return true;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "the broker does not answer");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address).set("log_level", "0");
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    /// Creates a topic, with settings of it.
    pub(crate) async fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let created = self.admin().create_topics(&[new], &AdminOptions::new()).await.unwrap();
        created[0].as_ref().unwrap();
    }

    /// Deletes a topic, with all that it has.
    pub(crate) async fn delete(&self, topic: &str) {
        let deleted = self.admin().delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
        deleted[0].as_ref().unwrap();
    }

    /// Gives a topic this number of partitions.
    pub(crate) async fn grow(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        let grown = self.admin().create_partitions(&[new], &AdminOptions::new()).await.unwrap();
        grown[0].as_ref().unwrap();
    }

    /// What sends messages.
    pub(crate) fn producer(&self) -> FutureProducer {
        self.config().set("enable.idempotence", "true").create().unwrap()
    }

    /// All messages that a topic has now.
    pub(crate) async fn messages(&self, topic: &str) -> Vec<OwnedMessage> {
        let mut config = self.config();
        config.set("group.id", "test").set("enable.partition.eof", "true");
        let topic = topic.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let metadata = consumer.fetch_metadata(Some(&topic), Duration::from_secs(5)).unwrap();
            let partitions = metadata.topics()[0].partitions().len();
            let mut list = TopicPartitionList::new();
            for partition in 0..partitions {
                list.add_partition_offset(&topic, partition as i32, Offset::Beginning).unwrap();
            }
            consumer.assign(&list).unwrap();
            let (mut messages, mut ended) = (Vec::new(), 0);
            while ended < partitions {
                match consumer.poll(Duration::from_secs(5)).expect("an answer of the broker") {
                    Ok(message) => messages.push(message.detach()),
                    Err(_) => ended += 1,
                }
            }
            messages
        });
        read.await.unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a message, `None` one without a value, and waits until the broker has it.
pub(crate) async fn send(
    producer: &FutureProducer,
    topic: &str,
    partition: Option<i32>,
    key: &str,
    value: Option<&[u8]>,
) {
    let mut record = FutureRecord::to(topic).key(key);
    if let Some(value) = value {
        record = record.payload(value);
    }
    if let Some(partition) = partition {
        record = record.partition(partition);
    }
    producer.send(record, Duration::from_secs(10)).await.unwrap();
}

/// Sends messages, each a key and a value, and waits until the broker has them all.
pub(crate) async fn send_all(
    producer: &FutureProducer,
    topic: &str,
    messages: impl Iterator<Item = (String, Vec<u8>)>,
) {
    let mut sending = Vec::new();
    for (key, value) in messages {
        let sent = producer.send_result(FutureRecord::to(topic).key(&key).payload(&value));
        sending.push(sent.map_err(|(error, _)| error).unwrap());
    }
    for sent in sending {
        sent.await.unwrap().unwrap();
    }
}

/// A header of a message.
pub(crate) fn header(message: &OwnedMessage, name: &str) -> String {
    use rdkafka::message::Headers;
    let headers = message.headers().expect("headers");
    let found = headers.iter().find(|header| header.key == name).expect("the header");
    String::from_utf8(found.value.unwrap().to_vec()).unwrap()
}

fn run(folder: &Path, address: &str, controller: &str) -> Child {
    let port = |address: &str| address.rsplit(':').next().unwrap().to_owned();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest/kafka/broker.sh");
    Command::new("sh")
        .arg(script)
        .args([port(address), port(controller)])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
