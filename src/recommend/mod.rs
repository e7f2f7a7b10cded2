//! The funnel, from a snapshot, a user's history and the shelf to a list. Pure: no I/O, no lock,
//! no clock, no random numbers; the same arguments give the same list.
//!
//! - `funnel`: the stages in order; `list`: what comes out
//! - [`prepared`]: lists made when a snapshot is trained, and when they still hold
//! - [`blend`]: one score from several sources; [`features`]: the second stage's input
//! - `fresh`: items taken together since the model was trained
//! - `cold`: items and users unknown to the model
//! - [`fill`]: popular items, then the catalogue, where candidates run out
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

pub use crate::sources::{FunnelStage, Query, RepeatPolicy, Scratch, Shelf, Watch};
pub use funnel::{candidates, prepared_list, recommend, second_stage_rows};
pub use list::{Basis, List, Origin, Recommended};
pub use prepared::prepare;
pub use related::{bought_together, popular, similar_items, similar_users};
