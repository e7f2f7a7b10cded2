//! Admission: which connections and requests are taken in, and in how much memory.
//!
//! - [`connections`]: the connections; `places`: their number, by address and in all; [`peer`]: what
//!   one is doing; [`open_files`]: the descriptors that limit them
//! - [`intake`]: requests as they arrive; `answer`: answers until they are taken
//! - [`caller`]: whose request it is, and how much of the server each may take
//! - [`admit`]: the number of requests at once, and deadlines
//! - `stream`: a connection's bytes, plain or encrypted

pub mod admit;
pub(in crate::api) mod answer;
pub mod caller;
pub mod connections;
pub mod intake;
pub mod open_files;
pub mod peer;
mod places;
mod stream;
