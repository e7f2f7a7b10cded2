//! The model registry: which snapshot answers whom, and which are kept on disk.
//!
//! - [`models`]: the registry's operations
//! - `retention`: which kept snapshots are beyond the limits
//! - `published`: the set of snapshots that take part in serving, swapped as a whole

mod models;
mod published;
mod retention;

pub use models::Models;
pub use published::ServingModel;
