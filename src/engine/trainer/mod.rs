//! The background trainer: one thread, one training at a time, on a pool below the serving
//! threads in priority.
//!
//! - `handle`: the wing's handle: ask for a training, watch it
//! - `status`: the status of a training, as its watchers see it
//! - `queue`: the job queue between the handle and the thread
//! - `schedule`: when a training starts by itself
//! - `worker`: the thread's loop
//! - `run`: one training, from the log to the published snapshot; `carried`: the pushed model
//!   that it carries on
//! - `publish`: makes a trained snapshot the active one, here or on the server that writes
//! - `lists`: prepares lists for a model that has none
//! - `timeline`: how long stages take, and how long they will
//! - `unlearn`: takes erased users out of the active model
//! - `erasure`: rewrites the log without erased users, removes models that may know them

mod carried;
pub(super) mod erasure;
mod handle;
mod lists;
mod publish;
mod queue;
mod run;
mod schedule;
mod status;
mod timeline;
mod unlearn;
mod worker;

pub use handle::{Hold, Trainer};
pub use status::{TrainingState, TrainingStatus};
