//! One store on several servers: one writes it, others follow. Everything that a store knows is a fold over
//! its log, so that a follower copies the log block by block, and the models file by file.
//!
//! - `source`: what the server that writes hands out
//! - `follower`: what a follower takes in
//! - `spool`: what a follower has shown, on its way to the server that writes

mod follower;
mod source;
mod spool;

pub use follower::Follower;
pub use source::{Position, Source, Standing};
pub use spool::Batch;
