//! Imports: the rows of a file become events, items or users, written in chunks.
//!
//! - `importer`: the handle
//! - `events`: logs, each chunk with a digest that identifies it when it comes again;
//!   `described`: item data found in a log
//! - `catalogue`: items and users
//! - `context`: what all of them work with
//! - [`report`]: the outcome of an import

mod catalogue;
mod context;
mod described;
mod events;
mod importer;
pub mod report;

pub use context::OnRefusal;
pub use importer::{Content, Importer};
pub use report::Report;
