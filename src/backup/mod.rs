//! Backups of a data folder, also beside the server that has it open: each store as of one offset of
//! its log, with its models, the API keys and the audit log.
//!
//! - `create`, `restore`, `verify`: the three verbs
//! - `pieces`: what a data folder consists of; `manifest`: what a backup holds; `hashing`: copies
//!   with a checksum
//! - `repository`: a folder of backups that share what has not changed; `archive`: one backup as a
//!   single file; `form`: which of both a path is
//! - [`error`]: why it fails

mod archive;
mod create;
pub mod error;
mod form;
mod hashing;
mod manifest;
mod pieces;
mod repository;
mod restore;
mod verify;

pub use create::{Created, create};
pub use error::BackupError;
pub use manifest::{Manifest, StoreInBackup};
pub use restore::restore;
pub use verify::{Verified, verify};
