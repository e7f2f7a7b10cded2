//! The gRPC services: each method validates, converts, and delegates to the
//! engine. The only module, beside the client in the cli, that knows tonic and prost.
//!
//! - [`pb`]: the generated protocol; [`codec`]: how messages that do not decode are refused;
//!   [`entries`]: and those that hold too much
//! - [`server`]: all services on a listener, health and reflection included
//! - [`ceiling`]: what load tests compare with
//! - [`connections`], [`peer`]: who may connect, and is at what; [`body`]: requests as they come in; `answer`: what goes
//!   out; [`admission`]: overload
//!   and deadlines, [`refusals`]: what is refused, in the log
//! - [`status`]: the engine's errors as statuses with details
//! - [`convert`], [`filter`]: what several services convert
//! - [`recommendation`], [`event`], [`catalog`], [`user`], [`model`]: one service each;
//!   [`push`]: the stream by which a model comes; [`manifest`]: what is told of models

pub mod admission;
mod answer;
pub mod body;
pub mod catalog;
pub mod ceiling;
pub mod codec;
pub mod connections;
pub mod convert;
pub mod entries;
pub mod event;
pub mod filter;
mod manifest;
pub mod model;
pub mod pb;
pub mod peer;
mod push;
pub mod recommendation;
mod refusals;
pub mod server;
pub mod status;
pub mod user;

pub use server::{ServeOptions, serve};
