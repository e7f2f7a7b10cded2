//! `[kafka]`

use serde::{Deserialize, Serialize};

use crate::domain::Secret;
use crate::engine::DEFAULT_STORE;

const SECURITY: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

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
        self.check_connection()?;

        let is_twice = |topic: &String| given.iter().filter(|&&other| other == topic).count() > 1;
        match given.iter().find(|topic| is_twice(topic)) {
            Some(topic) => Err(format!("kafka: the topic {topic} is given twice")),
            None => Ok(()),
        }
    }
}

impl KafkaOptions {
    /// Checks the addresses, and that what secures connections fits together.
    fn check_connection(&self) -> Result<(), String> {
        let is_address = |broker: &str| {
            let (host, port) = broker.trim().rsplit_once(':').unwrap_or_default();
            let is_host = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
            is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        if let Some(broker) = self.brokers.split(',').find(|broker| !is_address(broker)) {
            return Err(format!("kafka.brokers: {broker:?} is no address: must be HOST:PORT"));
        }

        one_of("kafka.security", &self.security, &SECURITY)?;
        let is_sasl = self.security.starts_with("SASL");
        let has_name = !self.mechanism.is_empty() || !self.username.is_empty();
        if has_name && !is_sasl {
            return Err(format!(
                "kafka.security {}: mechanism and username need SASL_SSL or SASL_PLAINTEXT",
                self.security
            ));
        }
        if is_sasl {
            one_of("kafka.mechanism", &self.mechanism, &MECHANISMS)?;
            if self.username.is_empty() || self.password.reveal().is_empty() {
                return Err("kafka.username, kafka.password: give both with a mechanism".to_owned());
            }
        }
        if !self.ca.is_empty() && !self.security.ends_with("SSL") {
            return Err(format!("kafka.security {}: ca needs SSL or SASL_SSL", self.security));
        }
        Ok(())
    }
}

fn one_of(setting: &str, given: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&given) {
        return Ok(());
    }
    Err(format!("{setting}: must be one of {}, was {given:?}", known.join(", ")))
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
        for brokers in ["b", "b:", "b:0", "::::", "b:1,", ":1", "b:1;c:2"] {
            assert!(of(brokers, "e", "", "").unwrap_err().contains("HOST:PORT"), "{brokers}");
        }
        assert_eq!(of("b:1, c:2,[::1]:3", "e", "", ""), Ok(()));
    }

    #[test]
    fn what_secures_connections_fits_together() {
        let of = |security: &str, mechanism: &str, username: &str, ca: &str| {
            let [security, mechanism, username, ca] =
                [security, mechanism, username, ca].map(str::to_owned);
            let (brokers, events) = ("b:1".to_owned(), "e".to_owned());
            let password = Secret::new("word");
            KafkaOptions {
                brokers,
                events,
                security,
                mechanism,
                username,
                password,
                ca,
                ..Default::default()
            }
            .check()
        };

        assert_eq!(of("SASL_SSL", "PLAIN", "ada", "/ca"), Ok(()));
        assert_eq!(of("SSL", "", "", "/ca"), Ok(()));
        assert!(of("ssl", "", "", "").unwrap_err().contains("kafka.security: must be one of"));
        assert!(of("PLAINTEXT", "PLAIN", "ada", "").unwrap_err().contains("need SASL_SSL"));
        assert!(of("SASL_SSL", "", "ada", "").unwrap_err().contains("kafka.mechanism"));
        assert!(of("SASL_SSL", "PLAIN", "", "").unwrap_err().contains("kafka.username"));
        assert!(of("PLAINTEXT", "", "", "/ca").unwrap_err().contains("ca needs SSL"));
    }
}
