//! The configuration: defaults, then a TOML file, then `QIANMIAN_…` variables,
//! then flags. Each module owns its table; here they are put together.
//!
//! A variable names a key with `__` between table and key:
//! `QIANMIAN_SERVE__LISTEN=0.0.0.0:50051`. Unknown keys are refused.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::{Deserialize, Serialize};

use crate::api::ServeOptions;
use crate::engine::options::EngineOptions;
use crate::engine::pseudonyms::MIN_KEY_BYTES;
use crate::engine::{
    LogOptions, ModelOptions, PrivacyOptions, PushOptions, RecommendOptions, TrainOptions,
};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// What is written to standard error.
    pub logging: LoggingOptions,
    /// The server.
    pub serve: ServeOptions,
    /// The log.
    pub log: LogOptions,
    /// Answers.
    pub recommend: RecommendOptions,
    /// Training.
    pub train: TrainOptions,
    /// The models kept.
    pub models: ModelOptions,
    /// Models that were trained elsewhere.
    pub push: PushOptions,
    /// Privacy.
    pub privacy: PrivacyOptions,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("qianmian-data"),
            logging: LoggingOptions::default(),
            serve: ServeOptions::default(),
            log: LogOptions::default(),
            recommend: RecommendOptions::default(),
            train: TrainOptions::default(),
            models: ModelOptions::default(),
            push: PushOptions::default(),
            privacy: PrivacyOptions::default(),
        }
    }
}

/// `[logging]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggingOptions {
    /// "error", "warn", "info", "debug", or a filter such as "info,qianmian::train=debug".
    pub level: String,
    /// "text" or "json".
    pub format: LogFormat,
}

impl Default for LoggingOptions {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs, an object a line.
    Json,
}

impl Config {
    /// Reads a file, if one is given, and the environment.
    ///
    /// # Errors
    /// A sentence that names the key and where it was set.
    pub fn load(file: Option<&Path>) -> Result<Config, String> {
        let mut figment = Figment::new();
        if let Some(file) = file {
            if !file.is_file() {
                return Err(format!("configuration file {} does not exist", file.display()));
            }
            figment = figment.merge(Toml::file_exact(file));
        }
        let environment = Env::prefixed("QIANMIAN_").split("__");
        let config: Config = figment.merge(environment).extract().map_err(|e| e.to_string())?;
        config.check()?;
        Ok(config)
    }

    /// What the engine is opened with.
    pub fn engine(&self) -> EngineOptions {
        EngineOptions {
            log: self.log.clone(),
            train: self.train.clone(),
            models: self.models.clone(),
            push: self.push.clone(),
            recommend: self.recommend.clone(),
            privacy: self.privacy.clone(),
        }
    }

    /// Checks ranges that types cannot express.
    fn check(&self) -> Result<(), String> {
        let settings = &self.train.settings;
        let ranges = [
            ("serve.max_message_mib", self.serve.max_message_mib as f64, 1.0, 1_024.0),
            (
                "serve.max_requests_per_connection",
                self.serve.max_requests_per_connection as f64,
                1.0,
                1e6,
            ),
            ("serve.drain_seconds", self.serve.drain_seconds as f64, 0.0, 3_600.0),
            ("log.segment_mib", self.log.segment_mib as f64, 1.0, 65_536.0),
            ("recommend.history_limit", self.recommend.history_limit as f64, 1.0, 1e6),
            ("recommend.cohorts, their number,", self.recommend.cohorts.len() as f64, 0.0, 8.0),
            ("train.settings.embedding.support", settings.embedding.support as f64, 1.0, 1e6),
            ("train.threads", self.train.threads as f64, 0.0, 1_024.0),
            ("models.keep", self.models.keep as f64, 1.0, 1_000.0),
            ("push.max_mib", self.push.max_mib as f64, 1.0, 65_536.0),
            ("push.memory_mib", self.push.memory_mib as f64, 1.0, 1e6),
            ("push.resume_minutes", self.push.resume_minutes as f64, 0.0, 1_440.0),
            ("push.least_catalogue", self.push.least_catalogue, 0.0, 1.0),
            ("push.least_sales", self.push.least_sales, 0.0, 1.0),
            ("push.most_unknown", self.push.most_unknown, 0.0, 1.0),
            ("push.least_quality", self.push.least_quality, 0.0, 10.0),
            (
                "train.settings.embedding.dimensions",
                settings.embedding.dimensions as f64,
                8.0,
                1_024.0,
            ),
            ("train.settings.embedding.links", settings.embedding.links as f64, 4.0, 64.0),
            (
                "train.settings.embedding.ef_construction",
                settings.embedding.ef_construction as f64,
                8.0,
                4_096.0,
            ),
            ("train.settings.item_cf.neighbours", settings.item_cf.neighbours as f64, 1.0, 1e4),
            ("train.settings.user_cf.neighbours", settings.user_cf.neighbours as f64, 1.0, 1e4),
            ("train.settings.ease.items", settings.ease.items as f64, 1.0, 20_000.0),
            ("train.settings.ease.lambda", settings.ease.lambda.into(), 1e-3, 1e9),
            ("train.settings.blend.candidates", settings.blend.candidates as f64, 1.0, 1e5),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(format!("{key} must be {min} to {max}, was {value}"));
            }
        }
        let key = self.privacy.pseudonym_key.len();
        if key > 0 && key < MIN_KEY_BYTES {
            return Err(format!(
                "privacy.pseudonym_key must hold at least {MIN_KEY_BYTES} bytes, holds {key}"
            ));
        }
        Ok(())
    }
}
