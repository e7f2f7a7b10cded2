//! Fits a snapshot's settings to the store: nobody should have to turn knobs.
//!
//! Behaviour is held out of the log ([`validation`]), every source is trained on
//! the rest ([`trials`]; where that is costly, on a trimmed log, [`trim`]) and its
//! settings are turned while that helps ([`search`]). The blend's weights are fitted
//! to what the sources then propose ([`blend`]), and over it a learned second stage,
//! where it wins ([`second_stage`]). What comes of it is held against what is simpler ([`floor`]). A model that was pushed gets its weight beside them
//! ([`pushed`]). What is measured goes through the `recommend`
//! that serves. Budgets are counted in trials and everything is seeded, so that a
//! tuning can be repeated.

pub mod blend;
pub mod compare;
pub mod floor;
pub mod pushed;
pub mod search;
pub mod second_stage;
pub mod task;
pub mod trials;
pub mod trim;
mod tuned;
mod tuner;
pub mod validation;

pub use task::Task;
pub use trials::Budget;
pub use tuned::Tuned;
pub use tuner::Tuner;
