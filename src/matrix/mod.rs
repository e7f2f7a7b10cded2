//! The user-item matrix, made from events.
//!
//! - [`csr`]: sparse matrices by rows
//! - [`weight`]: what a shopper's history says of an item, as one number; the
//!   same at training time and when a list is asked for
//! - [`events`]: the log's events by user, as training reads them
//! - [`interactions`]: the matrix and its transpose, and baskets

pub mod csr;
pub mod events;
pub mod interactions;
pub mod weight;

pub use csr::Csr;
pub use events::UserEvents;
pub use interactions::{Interactions, baskets};
pub use weight::Weighting;
