//! The gRPC services: each method validates, converts, and delegates to the engine.
//!
//! - [`recommendation`], [`event`], [`catalog`], [`user`], [`model`]: one service each
//! - `push`: the stream by which a model arrives; `manifest`: models as the protocol has them

pub mod catalog;
pub mod event;
mod manifest;
pub mod model;
mod push;
pub mod recommendation;
pub mod user;
