//! Durable state: one append-only log per store contains every event, every catalogue write and
//! the names of the dense ids, in the order in which they were acknowledged. Live state is a fold
//! over it, so no second store must be kept in step.
//!
//! - [`folder`]: the data folder and its lock
//! - [`record`]: what the log holds; `on_disk`: of this version and of earlier ones
//! - [`block`]: records as bytes; [`frame`]: checksummed, length-framed blocks of records
//! - [`segment`]: one file of blocks; tells a torn tail from damage
//! - [`ledger`]: the list of the log's files; [`mark`]: up to where they are on disk; `proof`:
//!   both, checked before the log is read
//! - [`log`]: the writer, to its `open_segment`; [`replay`](mod@replay): the reader
//! - [`frozen`]: the log as of one offset, for a backup
//! - [`tail`]: the log as bytes from one offset on, for followers; [`copied`]: such bytes as blocks;
//!   [`writers`]: who wrote the log, which tells a copy from a log that has gone another way
//! - [`checkpoint`]: what was folded from the log, so that opening replays only the rest
//! - [`compact`](mod@compact): rewrites files without erased users
//! - [`unfinished`]: what a training that was stopped has finished
//! - [`files`], [`sealed`], [`witness`]: file operations, small files with a checksum, and whether
//!   an open file is still in place; [`memory`], [`priority`]: memory of
//!   the process, and of which thread comes first
//! - [`backed_up`]: the note of the last backup
//! - `options`: how a log is opened; [`error`]: why it fails

pub mod backed_up;
pub mod block;
pub mod checkpoint;
pub mod compact;
pub mod copied;
pub mod error;
pub mod files;
pub mod folder;
pub mod frame;
pub mod frozen;
pub mod ledger;
pub mod log;
pub mod mark;
pub mod memory;
mod on_disk;
mod open_segment;
mod options;
pub mod priority;
mod proof;
pub mod record;
pub mod replay;
pub mod sealed;
pub mod segment;
pub mod tail;
pub mod unfinished;
pub mod witness;
pub mod writers;

pub use backed_up::BackedUp;
pub use block::{BlockBuilder, Entry};
pub use checkpoint::{Basis, Checkpoint, NewCheckpoint};
pub use compact::compact;
pub use copied::{CopiedBlock, Copying};
pub use error::StoreError;
pub use folder::StoreFolder;
pub use frozen::FrozenLog;
pub use ledger::Begins;
pub use log::Log;
pub use options::{Durability, Opening};
pub use record::{Decision, Exposure, Position, Record, StoredEvent};
pub use replay::{check, replay, replay_beside};
pub use tail::LogTail;
pub use unfinished::Unfinished;
pub use writers::Writers;
