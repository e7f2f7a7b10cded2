//! The configuration: defaults, then a TOML file, then `QIANMIAN_…` variables, then flags. Each
//! module owns its table; this file composes them.
//!
//! A variable names a key with `__` between table and key: `QIANMIAN_SERVE__LISTEN=0.0.0.0:50051`.
//! Unknown keys are refused. No error repeats a value, which may be a secret.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::access::AuditOptions;
use crate::api::{FollowOptions, KafkaOptions, LoggingOptions, ServeOptions, TraceOptions};
use crate::engine::options::EngineOptions;
use crate::engine::pseudonyms::MIN_KEY_BYTES;
use crate::engine::{
    CatalogOptions, DEFAULT_STORE, ExperimentOptions, InsightOptions, LimitOptions, LogOptions,
    ModelOptions, PrivacyOptions, PushOptions, RecommendOptions, TrainOptions,
};
use crate::shared::ObjectStoreOptions;

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Log lines on standard error.
    pub logging: LoggingOptions,
    /// Traces for OpenTelemetry.
    pub traces: TraceOptions,
    /// The server.
    pub serve: ServeOptions,
    /// The event log.
    pub log: LogOptions,
    /// Answers.
    pub recommend: RecommendOptions,
    /// What is measured of lists.
    pub experiments: ExperimentOptions,
    /// Insight into users.
    pub insight: InsightOptions,
    /// What is read of items.
    pub catalog: CatalogOptions,
    /// Training.
    pub train: TrainOptions,
    /// Models kept on disk.
    pub models: ModelOptions,
    /// Models that were trained elsewhere.
    pub push: PushOptions,
    /// Privacy.
    pub privacy: PrivacyOptions,
    /// Limits on the size of the store.
    pub limits: LimitOptions,
    /// Who did what.
    pub audit: AuditOptions,
    /// The server that this one follows.
    pub follow: FollowOptions,
    /// The object store that servers share.
    pub object_store: ObjectStoreOptions,
    /// Topics of Kafka that are taken in.
    pub kafka: KafkaOptions,
    /// The store that a verb of the command line works on.
    #[serde(skip)]
    pub store: String,
    /// Keys that were set under their old names, for a warning.
    #[serde(skip)]
    pub renamed: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("qianmian-data"),
            logging: LoggingOptions::default(),
            traces: TraceOptions::default(),
            serve: ServeOptions::default(),
            log: LogOptions::default(),
            recommend: RecommendOptions::default(),
            experiments: ExperimentOptions::default(),
            insight: InsightOptions::default(),
            catalog: CatalogOptions::default(),
            train: TrainOptions::default(),
            models: ModelOptions::default(),
            push: PushOptions::default(),
            privacy: PrivacyOptions::default(),
            limits: LimitOptions::default(),
            audit: AuditOptions::default(),
            follow: FollowOptions::default(),
            object_store: ObjectStoreOptions::default(),
            kafka: KafkaOptions::default(),
            store: DEFAULT_STORE.to_owned(),
            renamed: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a file, if one is given, and the environment.
    ///
    /// # Errors
    /// A sentence that names the key and where it was set.
    pub fn load(file: Option<&Path>) -> Result<Config, String> {
        let mut table = file.map_or_else(|| Ok(Table::new()), read_file)?;
        let mut renamed = rename_old_keys(&mut table);
        let defaults = Table::try_from(Config::default()).map_err(|e| e.to_string())?;
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| names_a_key(name)) else { continue };
            let text = value.to_str().ok_or_else(|| format!("{name} must be UTF-8"))?;
            set_variable(&mut table, &defaults, name, text)?;
            renamed.extend(new_name(&key_of(name)).map(|new| format!("{name} is now {new}")));
            let read = table.clone().try_into::<Config>();
            read.map_err(|error| format!("{name}: {}", without_value(&error)))?;
        }

        if let Some(key) = unknown_key(&table, &defaults, "") {
            return Err(format!("unknown field `{key}`: there is no such setting"));
        }
        let config: Config = table.try_into().map_err(|error| without_value(&error))?;
        config.check()?;
        Ok(Config { renamed, ..config })
    }

    /// The options of the engine.
    pub fn engine(&self) -> EngineOptions {
        EngineOptions {
            store: self.store.clone(),
            log: self.log.clone(),
            train: self.train.clone(),
            models: self.models.clone(),
            push: self.push.clone(),
            recommend: self.recommend.clone(),
            experiments: self.experiments.clone(),
            insight: self.insight.clone(),
            catalog: self.catalog.clone(),
            privacy: self.privacy.clone(),
            limits: self.limits.clone(),
            follows: self.follow.is_on(),
            ..EngineOptions::default()
        }
    }

    /// Every range that its type cannot express: key, value, minimum, maximum.
    fn ranges(&self) -> Vec<(&'static str, f64, f64, f64)> {
        let Self { serve, logging, traces, log, recommend, train, .. } = self;
        let Self { limits, audit, models, push, experiments, insight, follow, .. } = self;
        let objects = &self.object_store;

        vec![
            ("serve.max_message_mib", serve.max_message_mib as f64, 1.0, 1_024.0),
            (
                "serve.max_requests_per_connection",
                serve.max_requests_per_connection as f64,
                1.0,
                1e6,
            ),
            ("serve.max_requests", serve.max_requests as f64, 2.0, 1e6),
            ("serve.max_streams", serve.max_streams as f64, 4.0, 1e6),
            ("serve.max_incoming_mib", serve.max_incoming_mib as f64, 1.0, 1e6),
            ("serve.request_seconds", serve.request_seconds as f64, 1.0, 3_600.0),
            ("serve.max_connections", serve.max_connections as f64, 2.0, 1e6),
            (
                "serve.max_connections_per_address",
                serve.max_connections_per_address as f64,
                1.0,
                1e6,
            ),
            ("serve.handshake_seconds", serve.handshake_seconds as f64, 1.0, 3_600.0),
            ("serve.idle_seconds", serve.idle_seconds as f64, 60.0, 1e7),
            ("serve.send_seconds", serve.send_seconds as f64, 1.0, 3_600.0),
            ("serve.drain_seconds", serve.drain_seconds as f64, 0.0, 3_600.0),
            ("serve.lease_seconds", serve.lease_seconds as f64, 1.0, 3_600.0),
            ("logging.requests.sample", logging.requests.sample, 0.0, 1.0),
            ("traces.sample", traces.sample, 0.0, 1.0),
            ("log.checkpoint_records", log.checkpoint_records as f64, 0.0, 1e12),
            ("log.segment_mib", log.segment_mib as f64, 1.0, 65_536.0),
            ("recommend.history_limit", recommend.history_limit as f64, 1.0, 1e6),
            ("recommend.active_lists", recommend.active_lists as f64, 0.0, 1e8),
            ("recommend.exposures", recommend.exposures, 0.0, 1.0),
            ("recommend.fatigue_after", recommend.fatigue_after.into(), 0.0, 1e6),
            ("recommend.fatigue_factor", recommend.fatigue_factor.into(), 0.0, 1.0),
            ("recommend.cohorts, their number,", recommend.cohorts.len() as f64, 0.0, 8.0),
            ("experiments.window_minutes", experiments.window_minutes as f64, 1.0, 525_600.0),
            ("insight.refresh_minutes", insight.refresh_minutes as f64, 1.0, 525_600.0),
            ("experiments.lists", experiments.lists as f64, 1.0, 1e8),
            ("experiments.canary_guardrail", experiments.canary_guardrail, 0.0, 1.0),
            ("train.threads", train.threads as f64, 0.0, 1_024.0),
            ("train.memory_mib", train.memory_mib as f64, 0.0, 1e9),
            ("limits.max_users", limits.max_users as f64, 1.0, f64::from(u32::MAX - 1)),
            ("limits.max_items", limits.max_items as f64, 1.0, f64::from(u32::MAX - 1)),
            ("limits.memory_mib", limits.memory_mib as f64, 0.0, 1e9),
            ("audit.file_mib", audit.file_mib as f64, 1.0, 1_024.0),
            ("follow.wait_ms", follow.wait_ms as f64, 0.0, 60_000.0),
            ("object_store.every_ms", objects.every_ms as f64, 100.0, 60_000.0),
            ("object_store.lease_seconds", objects.lease_seconds as f64, 2.0, 3_600.0),
            ("object_store.keep_seconds", objects.keep_seconds as f64, 10.0, 1e7),
            ("kafka.retention_hours", f64::from(self.kafka.retention_hours), 1.0, 87_600.0),
            ("kafka.batch", self.kafka.batch as f64, 1.0, 100_000.0),
            ("audit.keep", audit.keep as f64, 1.0, 10_000.0),
            ("models.keep", models.keep as f64, 1.0, 1_000.0),
            ("push.max_mib", push.max_mib as f64, 1.0, 65_536.0),
            ("push.memory_mib", push.memory_mib as f64, 1.0, 1e6),
            ("push.resume_minutes", push.resume_minutes as f64, 0.0, 1_440.0),
            ("push.min_catalogue", push.min_catalogue, 0.0, 1.0),
            ("push.min_sales", push.min_sales, 0.0, 1.0),
            ("push.max_unknown", push.max_unknown, 0.0, 1.0),
            ("push.min_quality", push.min_quality, 0.0, 10.0),
        ]
    }

    /// Checks ranges that types cannot express.
    fn check(&self) -> Result<(), String> {
        for (key, value, min, max) in self.ranges() {
            if !(min..=max).contains(&value) {
                return Err(format!("{key} must be {min} to {max}, was {value}"));
            }
        }

        self.train.settings.validate().map_err(|what| format!("train.settings.{what}"))?;
        self.serve.browsers.check()?;
        self.experiments.excluded().map_err(|what| format!("experiments.exclude {what}"))?;
        self.insight.zone().map_err(|what| format!("insight.time_zone {what}"))?;
        let all = self.serve.max_requests;
        let each = self.serve.max_requests_per_connection;
        if each >= all {
            return Err(format!(
                "serve.max_requests_per_connection must be below serve.max_requests, {all}, was \
                 {each}"
            ));
        }

        let all = self.serve.max_connections;
        let each = self.serve.max_connections_per_address;
        if each >= all {
            return Err(format!(
                "serve.max_connections_per_address must be below serve.max_connections, {all}, was \
                 {each}"
            ));
        }

        let key = self.privacy.pseudonym_key.reveal().len();
        if key > 0 && key < MIN_KEY_BYTES {
            return Err(format!(
                "privacy.pseudonym_key must hold at least {MIN_KEY_BYTES} bytes, holds {key}"
            ));
        }
        Ok(())
    }
}

/// Keys that were renamed, with their new names.
const OLD_KEYS: [(&str, &str); 7] = [
    ("push.least_catalogue", "push.min_catalogue"),
    ("push.least_sales", "push.min_sales"),
    ("push.most_unknown", "push.max_unknown"),
    ("push.least_quality", "push.min_quality"),
    ("train.settings.item_cf.a", "train.settings.item_cf.source_exponent"),
    ("train.settings.item_cf.b", "train.settings.item_cf.user_exponent"),
    ("train.settings.item_cf.c", "train.settings.item_cf.target_exponent"),
];

/// The new name of a key, if it is an old one.
fn new_name(key: &str) -> Option<&'static str> {
    OLD_KEYS.iter().find(|(old, _)| *old == key).map(|(_, new)| *new)
}

/// The key that a variable of the environment names.
fn key_of(variable: &str) -> String {
    let key = variable.strip_prefix(PREFIX).unwrap_or(variable);
    key.to_ascii_lowercase().replace("__", ".")
}

/// Renames keys with old names; returns a sentence for each.
fn rename_old_keys(table: &mut Table) -> Vec<String> {
    let mut renamed = Vec::new();
    for (old, new) in OLD_KEYS {
        let (Some((within, old_key)), Some((_, new_key))) =
            (old.rsplit_once('.'), new.rsplit_once('.'))
        else {
            continue;
        };
        let found = within
            .split('.')
            .try_fold(&mut *table, |at, part| at.get_mut(part).and_then(Value::as_table_mut));
        if let Some(found) = found
            && let Some(value) = found.remove(old_key)
        {
            found.entry(new_key).or_insert(value);
            renamed.push(format!("{old} is now {new}"));
        }
    }
    renamed
}

/// The path of a key that the defaults do not have.
fn unknown_key(table: &Table, defaults: &Table, path: &str) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if path == TABLE_OR_TEXT {
            return None;
        }
        match (defaults.get(key), value) {
            (None, _) => Some(path),
            (Some(Value::Table(within)), Value::Table(given)) => unknown_key(given, within, &path),
            _ => None,
        }
    })
}

/// Prefix of the environment variables.
const PREFIX: &str = "QIANMIAN_";
/// The one key whose value may be a table.
const TABLE_OR_TEXT: &str = "recommend.repeat_policy";

fn read_file(file: &Path) -> Result<Table, String> {
    if !file.is_file() {
        return Err(format!("configuration file {} does not exist", file.display()));
    }

    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    // The file is also read as the final type, so that type errors have a line number.
    let read = toml::from_str::<Table>(&text)
        .and_then(|table| toml::from_str::<Config>(&text).map(|_| table));
    read.map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
        let number = before.matches('\n').count() + 1;
        let line = text.lines().nth(number - 1).unwrap_or("");
        let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| is_a_key(key));
        let key = key.map(|key| format!(", {key}")).unwrap_or_default();
        format!("{} line {number}{key}: {}", file.display(), without_value(&error))
    })
}

/// The reason of an error without the value, which may be a secret.
fn without_value(error: &toml::de::Error) -> String {
    let message = error.message();
    let is_ours = ["unknown field", "a secret must", "must be a shard"];
    if is_ours.iter().any(|begin| message.starts_with(begin)) {
        return message.to_owned();
    }
    match message.split_once("expected ") {
        Some((_, expected)) => format!("has the wrong type, expected {expected}"),
        None => "is not valid TOML".to_owned(),
    }
}

/// Whether a word is the name of a setting.
fn is_a_key(word: &str) -> bool {
    fn names(table: &Table, word: &str) -> bool {
        table.iter().any(|(name, value)| {
            name == word || value.as_table().is_some_and(|within| names(within, word))
        })
    }
    Table::try_from(Config::default()).is_ok_and(|defaults| names(&defaults, word))
}

/// Whether an environment variable is a setting. Kubernetes sets others in every pod beside a
/// Service named qianmian.
fn names_a_key(name: &str) -> bool {
    let ours = name.strip_prefix(PREFIX);
    ours.is_some_and(|key| {
        // An API key, for the command line.
        if key == "KEY" {
            return false;
        }
        let of_a_service = ["SERVICE_HOST", "SERVICE_PORT", "PORT"].into_iter().any(|of| {
            key.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        });
        !of_a_service
    })
}

/// Sets the key that a variable names; the type of its default decides how the text is read.
fn set_variable(table: &mut Table, defaults: &Table, name: &str, text: &str) -> Result<(), String> {
    let key = key_of(name);
    let key = new_name(&key).unwrap_or(&key);
    let path: Vec<&str> = key.split('.').collect();
    let known = path.iter().try_fold(None, |at: Option<&Value>, part| {
        let within = at.map_or(Some(defaults), Value::as_table)?;
        within.get(*part).map(Some)
    });
    let Some(Some(default)) = known else {
        return Err(format!("{name}: there is no setting {}", path.join(".")));
    };

    let value = match default {
        Value::String(_) if path.join(".") == TABLE_OR_TEXT => {
            inline(text).unwrap_or_else(|| Value::String(text.to_owned()))
        }
        Value::String(_) => Value::String(text.to_owned()),
        other => read_as(other, text)
            .ok_or_else(|| format!("{name} must be {}, is not", article(other.type_str())))?,
    };

    let (last, above) = path.split_last().ok_or_else(|| format!("{name} is no setting"))?;
    let mut at = table;
    for part in above {
        let within = at.entry(*part).or_insert_with(|| Value::Table(Table::new()));
        at = within.as_table_mut().ok_or_else(|| format!("{name}: {part} is not a table"))?;
    }

    at.insert((*last).to_owned(), value);
    Ok(())
}

/// Parses a text as the type of another value.
fn read_as(like: &Value, text: &str) -> Option<Value> {
    match like {
        Value::Float(_) => text.parse().ok().map(Value::Float),
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        _ => inline(text).filter(|value| value.same_type(like)),
    }
}

/// Parses a text as a TOML value.
fn inline(text: &str) -> Option<Value> {
    let mut table: Table = toml::from_str(&format!("value = {text}")).ok()?;
    table.remove("value")
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}
