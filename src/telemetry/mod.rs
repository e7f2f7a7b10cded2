//! What an operator sees of a running process.
//!
//! - [`version`]: the version and the commit it was built from
//! - [`failing`]: what fails again and again, said once
//! - [`latency`]: histograms of durations
//! - [`request_counts`]: requests of one store by method and code
//! - [`record`]: the record of one request: its stages and what it was for

pub mod failing;
pub mod latency;
pub mod record;
pub mod request_counts;
pub mod version;

pub use failing::Failing;
pub use record::RequestRecord;
pub use request_counts::RequestCounts;
