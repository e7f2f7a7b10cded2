//! The model registry: which snapshot answers whom, and which are kept on disk.
//!
//! - [`models`]: the registry's operations
//! - `followed`: the registry of a store that follows another
//! - `retention`: which kept snapshots are beyond the limits
//! - `published`: the set of snapshots that take part in serving, swapped as a whole

mod followed;
mod models;
mod published;
mod retention;

pub use models::Models;
pub use published::ServingModel;
