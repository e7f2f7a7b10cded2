//! Why an object store fails.

use std::time::Duration;

use thiserror::Error;

/// Why an object store fails.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// It cannot be reached, or refuses.
    #[error("the object store: {0}")]
    Failed(#[from] object_store::Error),
    /// It does not answer in time.
    #[error("the object store does not answer within {} s", .0.as_secs_f64())]
    Silent(Duration),
    /// A folder in its place fails.
    #[error("the object store: {0}")]
    Folder(#[from] std::io::Error),
    /// An object that is referred to is not there.
    #[error("the object store has no {0}")]
    Missing(String),
    /// An object is not what was written.
    #[error("{name} in the object store: {what}")]
    Damaged {
        /// The object.
        name: String,
        /// What is wrong.
        what: String,
    },
}

impl ObjectError {
    /// Whether an object is gone or damaged: trying again does not help.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Damaged { .. })
    }

    /// An object that is not what was written.
    pub fn damaged(name: &str, what: impl ToString) -> Self {
        Self::Damaged { name: name.to_owned(), what: what.to_string() }
    }
}
