//! SIGHUP: reads the configuration again, puts in force what can change while the server runs, and
//! names what cannot.

use std::sync::Arc;

use toml::{Table, Value};

use super::Failure;
use crate::api::Observer;
use crate::config::Config;
use crate::host::Host;

/// Sets the level of log lines, as `logging.level` is written.
pub type SetLevel = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Settings, or tables of them, that can change while the server runs.
const RELOADED: [&str; 5] =
    ["logging.level", "logging.requests", "train", "limits.max_users", "limits.max_items"];
/// Settings within these that cannot.
const FIXED: [&str; 2] = ["train.threads", "train.prepared_lists"];

/// Reads the configuration as it was read at the start.
pub(super) type Read = Arc<dyn Fn() -> Result<Config, Failure> + Send + Sync>;

/// Puts new settings in force.
pub(super) struct Reload {
    pub(super) read: Read,
    pub(super) set_level: SetLevel,
    pub(super) host: Arc<Host>,
    pub(super) observer: Arc<Observer>,
    /// The settings in force; what cannot change is as it was at the start.
    pub(super) in_force: Config,
}

impl Reload {
    /// Reads the configuration again. Where it cannot be used, nothing is changed.
    pub(super) fn run(&mut self) {
        match self.try_run() {
            Ok((changed, fixed)) => {
                let changed = changed.join(", ");
                tracing::info!(changed, "the configuration is read again");
                if !fixed.is_empty() {
                    let settings = fixed.join(", ");
                    tracing::warn!(
                        settings,
                        "these settings need a restart; they stay as they were"
                    );
                }
            }
            Err(error) => {
                tracing::error!(%error, "the configuration cannot be used; nothing is changed");
            }
        }
    }

    /// The settings that changed, and those that would need a restart.
    fn try_run(&mut self) -> Result<(Vec<String>, Vec<String>), Failure> {
        let read = (self.read)()?;
        let differing = differing(&self.in_force, &read)?;
        let (changed, fixed): (Vec<String>, Vec<String>) =
            differing.into_iter().partition(|key| can_change(key));

        (self.set_level)(&read.logging.level)?;
        self.in_force.logging.level.clone_from(&read.logging.level);
        self.in_force.logging.requests = read.logging.requests.clone();
        self.observer.log.set(read.logging.requests);

        let before = &self.in_force.train;
        let (threads, prepared_lists) = (before.threads, before.prepared_lists);
        self.in_force.train = read.train;
        self.in_force.train.threads = threads;
        self.in_force.train.prepared_lists = prepared_lists;
        self.in_force.limits.max_users = read.limits.max_users;
        self.in_force.limits.max_items = read.limits.max_items;
        self.host.reload(self.in_force.train.clone(), self.in_force.limits.clone());
        Ok((changed, fixed))
    }
}

/// Whether a setting can change while the server runs.
fn can_change(key: &str) -> bool {
    let is_within = |table: &str| {
        key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    RELOADED.into_iter().any(is_within) && !FIXED.into_iter().any(is_within)
}

/// The names of the settings that differ. Values are left out: some are secret.
fn differing(one: &Config, other: &Config) -> Result<Vec<String>, Failure> {
    fn compare(one: &Table, other: &Table, above: &str, differing: &mut Vec<String>) {
        let added = other.keys().filter(|name| !one.contains_key(*name));
        for name in one.keys().chain(added) {
            let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            match (one.get(name), other.get(name)) {
                (Some(Value::Table(one)), Some(Value::Table(other))) => {
                    compare(one, other, &key, differing);
                }
                (one, other) if one != other => differing.push(key),
                _ => {}
            }
        }
    }

    let mut found = Vec::new();
    compare(&Table::try_from(one)?, &Table::try_from(other)?, "", &mut found);
    // A secret is not written out.
    let secret = "privacy.pseudonym_key".to_owned();
    if one.privacy != other.privacy && !found.contains(&secret) {
        found.push(secret);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_change_is_told_from_what_cannot() {
        let before = Config::default();
        let mut after = before.clone();
        after.logging.level = "debug".to_owned();
        after.train.every_minutes = 5;
        after.train.threads = 3;
        after.serve.listen = "127.0.0.1:1".to_owned();
        let differing = differing(&before, &after).unwrap();
        let expected = ["logging.level", "serve.listen", "train.every_minutes", "train.threads"];
        assert_eq!(differing, expected);
        let can: Vec<bool> = differing.iter().map(|key| can_change(key)).collect();
        assert_eq!(can, [true, false, true, false]);
        assert!(!can_change("limits.memory_mib") && !can_change("trainer"));
    }
}
