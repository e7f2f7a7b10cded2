//! Tuning: fits a snapshot's settings to the store.
//!
//! Behaviour is held out of the log ([`validation`]) and every source is trained on the rest,
//! where that is costly on a trimmed log ([`trim`]). Its hyperparameters are searched ([`trials`],
//! [`search`]); then the blend's weights are fitted to the sources' proposals ([`blend`]), with
//! content's share ([`hybrid`]), and for sessions with or without the item in view (`in_view`). A
//! second stage is trained, which is kept where it wins ([`second_stage`]). The result is compared
//! with simpler settings ([`floor`]). A pushed model gets its weight beside the trained sources
//! ([`pushed`]). All measurements go through the `recommend` that serves. Budgets are counted in
//! trials and everything is seeded, so that a tuning can be repeated.

pub mod blend;
pub mod compare;
pub mod floor;
pub mod hybrid;
mod in_view;
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
