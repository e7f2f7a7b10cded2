//! Messages that are refused, kept for a person to look at.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::runtime::Handle;

use super::consumer::{client, unusable};
use super::message::{LEFT_OUT, Message};
use super::options::KafkaOptions;
use crate::domain::{BoxError, Violation};

/// Takes messages that are refused, each with the reason.
pub(super) struct DeadLetters {
    topic: String,
    producer: FutureProducer,
}

impl DeadLetters {
    /// The topic for them; none where none is configured.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub(super) fn open(options: &KafkaOptions) -> Result<Option<Self>, String> {
        if options.dead_letters.is_empty() {
            return Ok(None);
        }
        let mut config = client(options);
        config
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "10000")
            // How large one may be is for the topic to say.
            .set("message.max.bytes", "1000000000");
        let producer = config.create().map_err(|error| unusable(&error))?;
        Ok(Some(Self { topic: options.dead_letters.clone(), producer }))
    }

    /// Sends messages, and waits until all brokers that must have them do.
    pub(super) fn send(
        &self,
        refused: &[(&Message, Violation)],
        runtime: &Handle,
    ) -> Result<(), BoxError> {
        let sending = refused.iter().map(|(message, violation)| self.send_one(message, violation));
        runtime.block_on(futures::future::try_join_all(sending)).map(drop)
    }

    /// Sends one, without its value where that is too large for the topic.
    async fn send_one(&self, message: &Message, violation: &Violation) -> Result<(), BoxError> {
        let sent = self.send_with(message, message.value.as_deref(), violation).await;
        let too_large = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
        let sent = match sent {
            Err(error) if error == too_large => self.send_with(message, None, violation).await,
            sent => sent,
        };
        sent.map_err(|error| format!("{}: {error}", self.topic).into())
    }

    async fn send_with(
        &self,
        message: &Message,
        value: Option<&[u8]>,
        violation: &Violation,
    ) -> Result<(), KafkaError> {
        let (partition, offset) = (message.partition.to_string(), message.offset.to_string());
        let reason = violation.to_string();
        let headers = [
            ("qianmian-reason", &reason),
            ("qianmian-topic", &message.topic),
            ("qianmian-partition", &partition),
            ("qianmian-offset", &offset),
        ];
        let mut headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        if value.is_none() && message.value.is_some() {
            // Sent back as it is, it must not erase what its key names.
            headers = headers.insert(Header { key: LEFT_OUT, value: Some("true") });
        }

        let mut record = FutureRecord::to(&self.topic).headers(headers);
        record.key = message.key.as_ref();
        record.payload = value;
        let sent = self.producer.send(record, Duration::from_secs(10)).await;
        sent.map(drop).map_err(|(error, _)| error)
    }
}
