//! Callers that do not speak gRPC: JSON over HTTP, gRPC-Web, and browsers.
//!
//! - [`layer`]: the outermost layer, which hands calls in JSON on as calls of gRPC; `problem`: their
//!   refusals
//! - [`origins`]: which web pages may call
//! - `openapi`: the description of all methods; `page`: a page to try them

pub mod layer;
mod openapi;
pub mod origins;
pub mod page;
mod problem;
