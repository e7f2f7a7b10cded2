//! The funnel: from a snapshot, a shopper's history and the shelf to a list.
//! Pure: no I/O, no lock, no clock, no random numbers; the same arguments give
//! the same list, whoever asks.
//!
//! - [`query`]: what is asked, and what may be offered (the shelf)
//! - [`sources`]: each way to propose candidates
//! - [`cold`]: items and shoppers that the model knows nothing of
//! - [`fresh`]: what was taken together since the model was trained
//! - [`blend`]: one score from several sources
//! - [`features`]: what the second stage is told
//! - [`fill`]: popular items, then the catalogue, where candidates run out
//! - [`prepared`]: lists made ahead, when a snapshot is trained
//! - [`related`]: similar items, bought together, similar users, popular
//! - [`scratch`]: memory that requests reuse

pub mod blend;
mod cold;
pub mod features;
pub mod fill;
mod fresh;
mod funnel;
mod list;
pub mod prepared;
pub mod query;
pub mod related;
pub mod scratch;
pub mod sources;

pub use funnel::{candidates, recommend, second_stage_rows};
pub use list::{Basis, List, Recommended};
pub use prepared::prepare;
pub use query::{Query, RepeatPolicy, Shelf};
pub use related::{bought_together, popular, similar_items, similar_users};
pub use scratch::Scratch;
