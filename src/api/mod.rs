//! The gRPC api. The only module, beside the client in `cli`, that knows tonic and prost.
//!
//! - [`server`]: all services on a listener, with reflection; `health`: whether they serve
//! - [`services`]: one file a service
//! - [`access`]: who may call what, and which store answers
//! - [`admission`]: which connections and requests are taken in; [`tls`]: certificates
//! - [`wire`]: the generated protocol and its conversions

pub mod access;
pub mod admission;
mod health;
pub mod server;
pub mod services;
pub mod tls;
pub mod wire;

pub use server::{ServeOptions, Served, serve};
pub use tls::TlsOptions;
pub use wire::pb;
