//! The gRPC services: each method validates, converts, and delegates to the engine.
//!
//! - [`recommendation`], [`event`], [`catalog`], [`user`], [`model`], [`rule`], [`placement`]: one
//!   service each, of a store; [`experiment`]: experiments and reports;
//!   [`insight`]: what the store knows of its users
//! - [`key`], [`store`]: services of the whole server
//! - `whole`: streams of answers that end with an error where they are cut short
//! - `push`: the stream by which a model arrives; `manifest`: models as the protocol has them

pub mod catalog;
pub mod event;
pub mod experiment;
pub mod insight;
pub mod key;
mod manifest;
pub mod model;
pub mod placement;
mod push;
pub mod recommendation;
pub mod rule;
pub mod store;
pub mod user;
mod whole;

use crate::domain::{Error, Result};

/// Runs work on a thread that may block.
async fn wait_for<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Storage(error.into()))?
}
