//! Serving: a request becomes an answer.
//!
//! - `request`: what is asked and answered
//! - `query`: the hot path, from a request through the pure funnel to an answer
//! - `rank`: orders items that the caller chose
//! - `placed`: lists of placements, and of whole pages; `variants`: of experiments
//! - `explain`: reasons with their names, and as a sentence
//! - `diagnose`: a list with the record of its funnel, and what stands out
//! - `held`: lists that were made before they are asked for; `quick`: lists that take no longer than to hand
//!   them over
//! - `inputs`: what a list is made from, looked up once
//! - `steered`: what rules did to an answer; `slot`: a position that is drawn by chance
//! - `fatigue`: which items a user is tired of
//! - `exposures`: records what was shown
//! - `batch`: lists for many users at once, on the background threads
//! - `replayed`: what another placement would have earned
//! - `shadow`: compares the lists of a model that is not shown
//! - `models`: compares two kept models; `comparison`: how lists and settings differ

mod batch;
mod comparison;
mod diagnose;
mod explain;
mod exposures;
mod fatigue;
mod held;
mod inputs;
mod models;
mod placed;
mod query;
mod quick;
mod rank;
mod related;
mod replayed;
mod request;
mod shadow;
mod slot;
mod steered;
mod variants;

pub use batch::{Batch, Batches};
pub use comparison::{Comparison, Difference};
pub use diagnose::{Diagnosis, StageRecord};
pub use query::Recommender;
pub use replayed::{ReplayRequest, Replayed, Reward};
pub use request::{
    Answer, Explanation, LedBy, RecommendRequest, Repeat, RepeatReason, ScoredItem, ScoredUser,
};
