//! Compares how long brokers keep what users did with the time that is stated to users.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use tokio::runtime::Handle;

use super::consumer::client;
use super::options::KafkaOptions;
use crate::domain::BoxError;

/// Time that brokers have to answer.
const PATIENCE: Duration = Duration::from_secs(5);
const HOUR_MS: f64 = 3_600_000.0;

/// Logs a warning for each topic that does not fit: one that keeps what an erased user did for longer than
/// `kafka.retention_hours`, and one of events that forgets all but the last event of a user. Returns whether all could
/// be seen.
pub(super) fn look(options: &KafkaOptions, runtime: &Handle) -> bool {
    let described = described(options, runtime).unwrap_or_else(|error| vec![Err(error)]);
    let mut is_seen = true;
    for topic in described {
        match topic {
            Ok((topic, settings)) => {
                if let Some(fault) = fault(options, &topic, &settings) {
                    tracing::warn!(topic, "{fault}");
                }
            }
            Err(error) => {
                is_seen = false;
                tracing::warn!(%error, "how long a topic keeps messages cannot be seen");
            }
        }
    }
    is_seen
}

/// How a topic keeps messages.
#[derive(Debug, Clone, PartialEq)]
struct Settings {
    is_compacted: bool,
    is_deleted: bool,
    /// Milliseconds; negative: for ever.
    retention_ms: i64,
}

/// A topic, or why it cannot be seen.
type Described = Result<(String, Settings), BoxError>;

/// The topics that hold what users did.
fn described(options: &KafkaOptions, runtime: &Handle) -> Result<Vec<Described>, BoxError> {
    let client: AdminClient<DefaultClientContext> = AdminClient::from_config(&client(options))?;
    let given = [&options.events, &options.users, &options.dead_letters];
    let given: Vec<_> = given.into_iter().filter(|topic| !topic.is_empty()).collect();
    let named: Vec<_> = given.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let patience = AdminOptions::new().request_timeout(Some(PATIENCE));
    let described = runtime.block_on(client.describe_configs(&named, &patience))?;

    // They are answered in the order in which they are asked for.
    let topics = given.into_iter().zip(described).map(|(topic, described)| {
        let described = described.map_err(|code| format!("the topic {topic}: {code}"))?;
        Ok((topic.clone(), settings(&described)?))
    });
    Ok(topics.collect())
}

fn settings(described: &ConfigResource) -> Result<Settings, BoxError> {
    let value = |name| {
        let value = described.get(name).and_then(|entry| entry.value.as_deref());
        value.ok_or_else(|| format!("the brokers do not name {name}"))
    };
    let policies: Vec<_> = value("cleanup.policy")?.split(',').map(str::trim).collect();
    Ok(Settings {
        is_compacted: policies.contains(&"compact"),
        is_deleted: policies.contains(&"delete"),
        retention_ms: value("retention.ms")?.parse()?,
    })
}

/// What is wrong with how a topic keeps messages.
fn fault(options: &KafkaOptions, topic: &str, settings: &Settings) -> Option<String> {
    if settings.is_compacted && topic != options.users {
        return Some(
            "the topic is compacted: it forgets all but the last message of each user".into(),
        );
    }
    // The message without a value replaces what a compacted topic holds of the user.
    if settings.is_compacted {
        return None;
    }
    let stated = f64::from(options.retention_hours);
    let hours = settings.retention_ms as f64 / HOUR_MS;
    let fault = if !settings.is_deleted || settings.retention_ms < 0 {
        "the topic keeps messages for ever".to_owned()
    } else if hours > stated {
        format!("the topic keeps messages for {hours:.1} hours (retention.ms)")
    } else {
        return None;
    };
    Some(format!(
        "{fault}; kafka.retention_hours says that those of an erased user are gone after {stated}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_keeps_longer_than_stated_is_named() {
        let [events, users] = ["events", "users"].map(str::to_owned);
        let options = KafkaOptions { events, users, retention_hours: 24, ..Default::default() };
        let fault = |topic: &str, policy: &str, hours: i64| {
            let settings = Settings {
                is_compacted: policy.contains("compact"),
                is_deleted: policy.contains("delete"),
                retention_ms: hours * 3_600_000,
            };
            fault(&options, topic, &settings).unwrap_or_default()
        };

        assert_eq!(fault("events", "delete", 24), "");
        assert!(fault("events", "delete", 25).contains("25.0 hours"));
        assert!(fault("events", "delete", -1).contains("for ever"));
        assert!(fault("events", "compact,delete", 24).contains("is compacted"));
        assert_eq!(fault("users", "compact", 25), "");
        assert!(fault("users", "delete", 25).contains("gone after 24"));
        assert!(fault("users", "", 1).contains("for ever"));
    }
}
