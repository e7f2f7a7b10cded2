//! The gRPC api. The only module, beside the client in `cli`, that knows tonic and prost.
//!
//! - [`server`]: all services on a listener, with health and reflection
//! - [`services`]: one file a service
//! - [`admission`]: which connections and requests are taken in
//! - [`wire`]: the generated protocol and its conversions

pub mod admission;
pub mod server;
pub mod services;
pub mod wire;

pub use server::{ServeOptions, serve};
pub use wire::pb;
