//! What a store knows of its users, from their orders and histories. Pure: the engine brings the data and the
//! time.
//!
//! - [`definition`]: what people decide: named segments and tiers
//! - [`portrait`]: what a user's history shows
//! - [`segment`]: saved segments of users; [`audience`]: whom to send something
//! - [`rfm`]: recency, frequency and monetary value; [`tiers`]: levels by spend or orders
//! - [`value`]: what users will buy; [`gaps`]: when
//! - [`cohorts`]: who came again; [`trade`]: activity and sales; both by [`period`]

pub mod audience;
pub mod cohorts;
pub mod definition;
pub mod gaps;
pub mod period;
pub mod portrait;
pub mod rfm;
pub mod segment;
pub mod tiers;
pub mod trade;
pub mod value;

pub use definition::InsightSettings;
pub use gaps::{GapCounter, GapModel};
pub use period::Period;
pub use portrait::Portrait;
pub use segment::{Membership, UserSegment};
pub use value::ValueModels;
