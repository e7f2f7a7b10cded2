//! Pushes: models that were trained elsewhere become part of a snapshot.
//!
//! - [`flow`]: the wing's handle, and the steps from the first byte to the published model
//! - [`uploads`]: pushes under way, each a stream that may break and resume
//! - [`gate`]: the checks that a file must pass; `arrays`: reads its arrays
//! - [`assemble`]: a snapshot of the server's parts and the pushed one

mod arrays;
pub(super) mod assemble;
mod flow;
mod gate;
mod uploads;

pub use flow::{PushRequest, Pushes};
pub use uploads::Incoming;
