//! The gRPC services: each method validates, converts, and delegates to the engine.
//!
//! - [`recommendation`], [`event`], [`catalog`], [`user`], [`model`], [`rule`], [`placement`]: one
//!   service each, of a store; [`experiment`]: experiments and reports;
//!   [`insight`]: what the store knows of its users
//! - [`key`], [`store`]: services of the whole server; [`replication`]: what followers copy
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
pub mod replication;
pub mod rule;
pub mod store;
pub mod user;
mod whole;

use tonic::{Request, Response, Status};

use crate::api::admission::caller::Running;
use crate::api::wire::status::from_error;
use crate::domain::{Error, Result};
use crate::engine::wait_for;

/// Answers a request on a thread that may block. It is counted as running to its end, also where its caller
/// has gone.
async fn answer<R: Send + 'static, T: Send + 'static>(
    request: Request<R>,
    work: impl FnOnce(R) -> Result<T> + Send + 'static,
) -> Result<Response<T>, Status> {
    let running = request.extensions().get::<Running>().cloned();
    let counted = move || {
        let done = work(request.into_inner());
        drop(running);
        done
    };
    wait_for(counted).await.map(Response::new).map_err(from_error)
}

/// A value as JSON, for servers of this kind.
fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::Storage(error.into()))
}
