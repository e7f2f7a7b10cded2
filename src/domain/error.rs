//! Errors, with messages that a caller can act on. The api maps them to gRPC statuses, the command
//! line to sentences.

use thiserror::Error;

use super::quote::{clipped, quoted};
use super::{Check, Shard, Verdict};

/// Maximum length of a field's path and of its message, in bytes.
const MAX_BYTES: usize = 600;

/// A field that breaks a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, e.g. `events[3].user_id`.
    pub field: String,
    /// The limit and the given value.
    pub message: String,
}

impl Violation {
    /// A violation of `field`; `message` names the limit and the given value.
    ///
    /// Both are truncated: text quoted from a request never makes an answer large.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: clipped(field.into(), MAX_BYTES),
            message: clipped(message.into(), MAX_BYTES),
        }
    }

    /// Prefixes the path with the message that holds the field.
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Every error of the engine.
#[derive(Debug, Error)]
pub enum Error {
    /// A request breaks a limit; nothing was changed.
    #[error("{0}")]
    Invalid(Violation),
    /// The named thing does not exist.
    #[error("{kind} {} is not known", quoted(id))]
    NotFound {
        /// "item", "user", "model", "training", "push", "key", "store".
        kind: &'static str,
        /// As the caller gave it.
        id: String,
    },
    /// The name of the thing to create is taken.
    #[error("there is a {kind} {} already", quoted(id))]
    AlreadyExists {
        /// "key", "store".
        kind: &'static str,
        /// As the caller gave it.
        id: String,
    },
    /// Another server makes the lists of the user.
    #[error(
        "the user {} is of shard {of} of {}, and this server has shard {}: ask the server of shard {of}",
        quoted(id), here.count(), here.index()
    )]
    OtherShard {
        /// As the caller gave it.
        id: String,
        /// The number of the user's shard.
        of: u32,
        /// That of this server.
        here: Shard,
    },
    /// Another change came first.
    #[error("{0}")]
    Conflict(String),
    /// The store cannot answer in its current state.
    #[error("{0}")]
    NotReady(String),
    /// A bounded queue is full; try again later.
    #[error("{0}")]
    Overloaded(String),
    /// A limit of the store is reached.
    #[error("{0}")]
    Full(String),
    /// Another server may write by now; whether a write was done is not known.
    #[error("this server holds no lease to write, which the object store grants; try again")]
    SeatLost,
    /// Topics are not reached, or far behind.
    #[error("{0}")]
    TopicsAway(String),
    /// The store is closing.
    #[error("the store is shutting down")]
    ShuttingDown,
    /// The data folder is in use, damaged, or written by a newer version.
    #[error("{0}")]
    Storage(#[source] BoxError),
    /// A file cannot be read to its end.
    #[error("{0}")]
    Import(#[source] BoxError),
    /// A pushed model did not pass the gate; these are all checks.
    #[error("the model is refused: {}", failed(.0))]
    Refused(Vec<Check>),
    /// A training was held back, because the data is broken, for this reason.
    #[error("held back, because the data is broken: {0} (train.doctor = \"hold\")")]
    HeldBack(String),
    /// A training ended without a model.
    #[error("{0}")]
    Training(#[source] BoxError),
}

fn failed(checks: &[Check]) -> String {
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Failed);
    failed.map(Check::to_string).collect::<Vec<_>>().join("; ")
}

/// The cause of an error, of any kind.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A result with the engine's error, unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Error::Invalid(violation)
    }
}
