//! Serving: a request becomes an answer.
//!
//! - `request`: what is asked and answered
//! - `query`: the hot path, from a request through the pure funnel to an answer
//! - `batch`: lists for many users at once, on the background threads
//! - `shadow`: compares the lists of a model that is not shown
//! - `models`: compares two kept models; `comparison`: how lists and settings differ

mod batch;
mod comparison;
mod models;
mod query;
mod related;
mod request;
mod shadow;

pub use batch::{Batch, Batches};
pub use comparison::{Comparison, Difference};
pub use query::Recommender;
pub use request::{Answer, RecommendRequest, Repeat, RepeatReason, ScoredItem, ScoredUser};
