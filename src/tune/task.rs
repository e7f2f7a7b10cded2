//! The task of a tuning.

use crate::recommend::RepeatPolicy;

/// The lists that settings are fitted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The next basket of known users.
    NextBasket(RepeatPolicy),
    /// The next item of anonymous sessions.
    NextItem,
    /// The next item of anonymous sessions, with models trained for another task.
    Session,
}
