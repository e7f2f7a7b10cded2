//! `[logging]`

use serde::{Deserialize, Serialize};

use super::request_log::RequestLogOptions;

/// `[logging]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggingOptions {
    /// "error", "warn", "info", "debug", or a filter such as "info,qianmian::train=debug".
    pub level: String,
    /// "text" or "json".
    pub format: LogFormat,
    /// Lines of single requests.
    pub requests: RequestLogOptions,
}

impl Default for LoggingOptions {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
            requests: RequestLogOptions::default(),
        }
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Plain text.
    Text,
    /// A JSON object per line.
    Json,
}
