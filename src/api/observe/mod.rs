//! What an operator sees of the server: every request is observed once, by the outermost layer.
//!
//! - [`observer`]: what sees every request; `layer`: the outermost layer; `end`: how a request ended
//! - [`logging`]: how log lines are written
//! - [`request_log`]: lines of slow, failed and sampled requests; [`traces`]: spans for OpenTelemetry
//! - [`refusals`]: what was refused, summed up for the log
//! - [`server_metrics`]: counts of the server; `exposition`: those and the stores' as a page for
//!   Prometheus, written by `page`
//! - [`admin`]: the admin listener: `/metrics`, `/healthz`, `/readyz`, `/version`

pub mod admin;
mod end;
mod exposition;
mod layer;
pub mod logging;
pub mod observer;
mod page;
pub mod refusals;
pub mod request_log;
pub mod server_metrics;
pub mod traces;

pub use layer::Observing;
pub use logging::{LogFormat, LoggingOptions};
pub use observer::Observer;
pub use request_log::RequestLogOptions;
pub use traces::TraceOptions;
