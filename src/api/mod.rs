//! The api: gRPC, and all else that is called over HTTP. The only module, beside the client in `cli`,
//! that knows tonic and prost.
//!
//! - [`server`]: all services on a listener, with reflection; `health`: whether they serve; `beside`: what
//!   runs beside the requests
//! - [`services`]: one file a service
//! - [`access`]: who may call what, and which store answers
//! - [`follow`]: what a server does that follows another
//! - [`observe`]: metrics, the request log, traces, the admin listener
//! - [`admission`]: which connections and requests are taken in; [`tls`]: certificates
//! - [`topics`]: topics of Kafka that are taken in
//! - [`web`]: JSON, gRPC-Web and browsers
//! - [`wire`]: the generated protocol and its conversions

pub mod access;
pub mod admission;
mod beside;
pub mod follow;
mod health;
pub mod observe;
pub mod server;
pub mod services;
pub mod tls;
pub mod topics;
pub mod web;
pub mod wire;

pub use follow::{FollowOptions, Primary};
pub use observe::{LogFormat, LoggingOptions, Observer, RequestLogOptions, TraceOptions};
pub use server::{Listeners, ServeOptions, Served, serve};
pub use tls::TlsOptions;
pub use topics::{KafkaOptions, Topics};
pub use web::origins::BrowserOptions;
pub use wire::pb;
