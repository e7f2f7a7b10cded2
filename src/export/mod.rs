//! Exports: a store's data for training jobs elsewhere.
//!
//! - `reading`: reads the data folder beside a server, writes the log, the matrix, a model
//! - `events`: events as rows; [`days`]: in a folder by day, to which each export appends
//! - `ubi`: lists and events in the fields of User Behavior Insights
//! - [`portraits`]: portraits of users, a row each
//! - `columns`: rows as Parquet or CSV
//! - [`model`]: a snapshot's parts in the layout in which models are pushed
//! - `error`: why an export fails

mod columns;
pub mod days;
mod error;
mod events;
pub mod model;
pub mod portraits;
mod reading;
mod ubi;

pub use columns::Format;
pub use error::ExportError;
pub use reading::{Reading, Written};
pub use ubi::WrittenUbi;
