//! One store on several servers: one writes it, others follow. Everything that a store knows is a fold over
//! its log, so that a follower copies the log block by block, and the models file by file.
//!
//! - `source`: what the server that writes hands out
//! - `follower`: what a follower takes in; `appending`: blocks of the log; `models`: copies models
//! - `spool`: what a follower has shown, on its way to the server that writes

mod appending;
mod follower;
mod models;
mod source;
mod spool;

pub use crate::engine::position::Position;
pub use appending::Appending;
pub use follower::Follower;
pub use models::{ModelSource, copy_models, extended};
pub use source::{Source, Standing};
pub use spool::Batch;
