//! The funnel, from a snapshot, a user's history and the shelf to a list. Pure: no I/O, no lock,
//! no clock, no random numbers; the same arguments give the same list.
//!
//! - `funnel`: the stages in order; `list`: what comes out
//! - [`restrict`]: how many items each restriction removes
//! - [`prepared`]: lists made when a snapshot is trained, and when they still hold
//! - `basis`: what a list is made from
//! - [`blend`]: one score from several sources; [`features`]: the second stage's input
//! - `fresh`: items taken together since the model was trained
//! - `cold`: items and users unknown to the model
//! - [`fill`]: popular items, then the catalogue, where candidates run out
//! - `reasons`: what led to each item
//! - `weigh`: what the user is tired of, and what items are worth
//! - `rules`: boosts, buries and targets; `places`: pins and quotas
//! - [`room`]: places for new items
//! - `variety`: items that differ, caps on brands, categories and groups; `exploration`: places for
//!   new and rare items, by chance
//! - [`placement`]: named bundles of what a list is made of
//! - [`description`]: how lists are made, in words
//! - [`related`]: similar items, bought together, similar users, popular

mod basis;
pub mod blend;
mod cold;
pub mod description;
mod exploration;
pub mod features;
pub mod fill;
mod fresh;
mod funnel;
mod list;
pub mod placement;
mod places;
pub mod prepared;
mod reasons;
pub mod related;
pub mod restrict;
pub mod room;
mod rules;
mod variety;
mod weigh;

pub use crate::sources::{
    Diversifier, FunnelStage, Likeness, Objective, Query, RepeatPolicy, Scratch, Shelf, Variety,
    Watch, Worth,
};
pub use funnel::{candidates, prepared_list, recommend, second_stage_rows};
pub use list::{Basis, List, Moved, Origin, Reasons, Recommended, Steered};
pub use placement::{ForSegment, Placement, PlacementSet, RandomSlot, RuleChoice, Shows};
pub use prepared::prepare;
pub use related::{bought_together, popular, similar_items, similar_users};
pub use restrict::Restrictions;
pub use variety::mean_likeness;
