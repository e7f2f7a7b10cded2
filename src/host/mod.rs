//! The stores of one process: each with its log, models and limits of its own, over the same
//! threads. The api asks for one by its name; nothing here lets one store see another.
//!
//! - [`stores`]: opens, creates and deletes them
//! - `followed`: those of a server that follows another
//! - [`hosted`]: one of them, with the rate of its requests
//! - [`tombstones`]: which were deleted; [`aside`]: sets one aside
//! - `remembered`: which keys and stores of an object store the folder has
//! - [`settings`]: its limits, in a file in its folder

pub mod aside;
mod followed;
pub mod hosted;
pub mod remembered;
pub mod settings;
pub mod stores;
pub mod tombstones;

pub use aside::set_aside;
pub use hosted::Hosted;
pub use remembered::{remember, remembers, remembers_any};
pub use settings::{Limits, StoreSettings, created_ms};
pub use stores::{Host, Listed, exists};
pub use tombstones::Tombstone;
