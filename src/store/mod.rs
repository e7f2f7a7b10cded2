//! Durable state: one append-only log per store holds every event, every
//! catalogue write and the names behind the dense ids, in the order in which
//! they were acknowledged. Live state is a fold over it, so there is no second
//! store to keep in step.
//!
//! - [`folder`]: where things lie, who may open them
//! - [`record`]: what a record is, as bytes
//! - [`frame`]: checksummed, length-framed blocks of records
//! - [`segment`]: one file of blocks; tells a torn tail from damage
//! - [`ledger`]: which files there must be; [`mark`]: how far they are on disk
//! - [`compact`]: files rewritten without erased shoppers
//! - [`log`]: the writer, to its `open_segment`, once there is `proof` of what it must hold;
//!   [`replay`]: the reader, from which everything else starts
//! - [`files`], [`sealed`], [`witness`]: file operations, small files with a checksum, and
//!   whether an open file is where it was; [`memory`]: what the process holds

pub mod compact;
pub mod error;
pub mod files;
pub mod folder;
pub mod frame;
pub mod ledger;
pub mod log;
pub mod mark;
pub mod memory;
mod open_segment;
mod options;
mod proof;
pub mod record;
pub mod replay;
pub mod sealed;
pub mod segment;
pub mod witness;

pub use compact::compact;
pub use error::StoreError;
pub use folder::StoreFolder;
pub use log::Log;
pub use options::{Durability, Opening};
pub use record::{BlockBuilder, Entry, Record, StoredEvent};
pub use replay::{replay, replay_beside};
