//! The user-item matrix, made from events.
//!
//! - [`csr`]: sparse matrices by rows
//! - [`weight`]: the weight of a cell, computed alike in training and in a request
//! - [`events`]: the log's events by user, as training reads them
//! - [`interactions`]: the matrix and its transpose, and baskets
//! - [`recent`]: the items that a user dealt with last

pub mod csr;
pub mod events;
pub mod interactions;
pub mod recent;
pub mod weight;

pub use csr::Csr;
pub use events::UserEvents;
pub use interactions::{Interactions, baskets};
pub use weight::Weighting;
