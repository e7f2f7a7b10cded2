//! The funnel: from a snapshot, a shopper's history and the shelf to a list.
//! Pure: no I/O, no lock, no clock, no random numbers; the same arguments give
//! the same list, whoever asks.
//!
//! - [`cold`]: items and shoppers that the model knows nothing of
//! - [`fresh`]: what was taken together since the model was trained
//! - [`blend`]: one score from several sources
//! - [`features`]: what the second stage is told
//! - [`fill`]: popular items, then the catalogue, where candidates run out
//! - [`prepared`]: lists made ahead, when a snapshot is trained
//! - [`related`]: similar items, bought together, similar users, popular

pub mod blend;
mod cold;
pub mod features;
pub mod fill;
mod fresh;
mod funnel;
mod list;
pub mod prepared;
pub mod related;

pub use crate::sources::{Query, RepeatPolicy, Scratch, Shelf};
pub use funnel::{candidates, recommend, second_stage_rows};
pub use list::{Basis, List, Recommended};
pub use prepared::prepare;
pub use related::{bought_together, popular, similar_items, similar_users};
