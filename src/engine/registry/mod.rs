//! The model registry: which snapshot answers whom, and which are kept on disk.
//!
//! - [`models`]: the registry's operations
//! - `published`: the set of snapshots that take part in serving, swapped as a whole

mod models;
mod published;

pub use models::Models;
