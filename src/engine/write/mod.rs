//! Writes: from a request to the log, then to live state, then to the acknowledgement.
//!
//! - [`writer`]: the wing's handle
//! - [`request`]: what can be written, and the receipt
//! - [`committer`]: the one thread that writes
//! - [`staged`]: a group of writes becomes records; `names`, `edits` of items, `link_check` of users: what it
//!   reads and checks within a group
//! - [`latency`], [`memory_budget`]: how long writes take, and in how much memory

mod committer;
mod edits;
mod latency;
mod link_check;
mod memory_budget;
mod names;
mod request;
mod staged;
mod writer;

pub(super) use memory_budget::MemoryBudget;
pub(super) use request::NewDecision;
pub use request::{Pending, Receipt, TakenIn, Write};
pub use writer::Writer;
