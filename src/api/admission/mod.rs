//! Admission: which connections and requests are taken in, and in how much memory.
//!
//! - [`connections`]: the connections, by address and in all; [`peer`]: what one is doing
//! - [`intake`]: requests as they arrive; `answer`: answers until they are taken
//! - [`admit`]: the number of requests at once, and deadlines
//! - [`refusals`]: what was refused, counted for the log

pub mod admit;
mod answer;
pub mod connections;
pub mod intake;
pub mod peer;
pub mod refusals;
