//! `[kafka]`

use serde::{Deserialize, Serialize};

use crate::domain::Secret;
use crate::engine::DEFAULT_STORE;

/// `[kafka]`: topics from which the server that writes takes in events, items and users
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaOptions {
    /// Addresses of brokers, as HOST:PORT,HOST:PORT; empty: none.
    pub brokers: String,
    /// The store that takes them in.
    pub store: String,
    /// Topic of events, by the id of their user; empty: none.
    pub events: String,
    /// Topic of items, by their id; empty: none.
    pub items: String,
    /// Topic of users, by their id; empty: none.
    pub users: String,
    /// Topic that takes messages that are refused; empty: they are logged and counted only.
    pub dead_letters: String,
    /// Hours after which the brokers have deleted what users did: the time that is stated to users who are erased. A
    /// topic that keeps messages longer is warned of.
    pub retention_hours: u32,
    /// Maximum number of messages that are written at once.
    pub batch: usize,
    /// How connections are secured: "PLAINTEXT", "SSL", "SASL_PLAINTEXT" or "SASL_SSL".
    pub security: String,
    /// How the server says who it is: "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"; empty: not at all.
    pub mechanism: String,
    /// User name at the brokers.
    pub username: String,
    /// Password at the brokers.
    pub password: Secret,
    /// File with certificates of authorities that are trusted; empty: those of the system.
    pub ca: String,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            store: DEFAULT_STORE.to_owned(),
            events: String::new(),
            items: String::new(),
            users: String::new(),
            dead_letters: String::new(),
            retention_hours: 168,
            batch: 5_000,
            security: "PLAINTEXT".to_owned(),
            mechanism: String::new(),
            username: String::new(),
            password: Secret::default(),
            ca: String::new(),
        }
    }
}

impl KafkaOptions {
    /// Whether there are brokers.
    pub fn is_on(&self) -> bool {
        !self.brokers.is_empty()
    }

    /// Checks that brokers and topics fit together.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn check(&self) -> Result<(), String> {
        let topics = [&self.events, &self.items, &self.users, &self.dead_letters];
        let given: Vec<_> = topics.into_iter().filter(|topic| !topic.is_empty()).collect();
        if !self.is_on() {
            return match given.first() {
                Some(topic) => Err(format!("kafka.brokers: give the brokers of the topic {topic}")),
                None => Ok(()),
            };
        }
        if cfg!(not(feature = "kafka")) {
            return Err(format!(
                "kafka.brokers {}: this build has no Kafka; build it with `cargo build --release --features kafka`",
                self.brokers
            ));
        }
        if topics[..3].iter().all(|topic| topic.is_empty()) {
            return Err("kafka.events, kafka.items, kafka.users: give one of the topics".to_owned());
        }
        let is_twice = |topic: &String| given.iter().filter(|&&other| other == topic).count() > 1;
        match given.iter().find(|topic| is_twice(topic)) {
            Some(topic) => Err(format!("kafka: the topic {topic} is given twice")),
            None => Ok(()),
        }
    }
}

#[cfg(all(test, feature = "kafka"))]
mod tests {
    use super::*;

    #[test]
    fn brokers_and_topics_belong_together() {
        let of = |brokers: &str, events: &str, items: &str, dead_letters: &str| {
            let [brokers, events, items, dead_letters] =
                [brokers, events, items, dead_letters].map(str::to_owned);
            KafkaOptions { brokers, events, items, dead_letters, ..Default::default() }.check()
        };
        assert_eq!(of("", "", "", ""), Ok(()));
        assert_eq!(of("b:1", "e", "i", "d"), Ok(()));
        assert!(of("", "e", "", "").unwrap_err().contains("kafka.brokers"));
        assert!(of("b:1", "", "", "d").unwrap_err().contains("give one of the topics"));
        assert!(of("b:1", "e", "e", "").unwrap_err().contains("given twice"));
        assert!(of("b:1", "e", "", "e").unwrap_err().contains("given twice"));
    }
}
