//! What a tuning is for.

use crate::recommend::RepeatPolicy;

/// What lists are asked for, and so what is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The next basket of known shoppers.
    NextBasket(RepeatPolicy),
    /// The next item of sessions of strangers.
    NextItem,
    /// The same, with models that are trained for something else.
    Session,
}
