//! Servers that share an object store: one writes, the others follow it, one of them trains. Each is the same
//! binary; leases in the object store decide which does what.
//!
//! - [`options`]: the table `object_store` of the configuration; [`part`]: what a server is
//! - `notes`: what servers write for each other
//! - `member`: a server among the others: what it is, and what it does beside serving
//! - the one that writes: `board` (what it announces), `upload_log`, `upload_models`, `adopt` (models that
//!   others have trained), `sweep` (what nothing refers to any more)
//! - those that follow: `look` (what is seen, and since when), `follow`, `holds` (whether one
//!   has everything)
//! - `absent`: a build without object stores
//! - both: `servers` (keys, stores), `train` (who trains, and what it hands over)

pub mod options;
pub mod part;

#[cfg(not(feature = "object-store"))]
mod absent;

#[cfg(feature = "object-store")]
mod adopt;
#[cfg(feature = "object-store")]
mod board;
#[cfg(feature = "object-store")]
mod follow;
#[cfg(feature = "object-store")]
mod holds;
#[cfg(feature = "object-store")]
mod look;
#[cfg(feature = "object-store")]
mod member;
#[cfg(feature = "object-store")]
mod notes;
#[cfg(feature = "object-store")]
mod servers;
#[cfg(feature = "object-store")]
mod sweep;
#[cfg(feature = "object-store")]
mod train;
#[cfg(feature = "object-store")]
mod upload_log;
#[cfg(feature = "object-store")]
mod upload_models;

#[cfg(not(feature = "object-store"))]
pub use absent::Member;
#[cfg(feature = "object-store")]
pub use member::Member;
pub use options::ObjectStoreOptions;
pub use part::{Change, Part};
