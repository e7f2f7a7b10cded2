//! A server that follows another: it copies the stores of the server that writes, the primary, answers from
//! the copy, and passes on what changes anything.
//!
//! - [`options`]: the table `follow` of the configuration
//! - [`primary`]: the primary, which may change; [`upstream`]: the connection to it; [`address`]: how servers are named
//! - [`server`]: follows the stores and the keys of the primary
//! - `store`: follows one store: leases, the log, models, and what was shown
//! - [`layer`]: which calls are answered here, once a copy has reached an offset, and which are passed on

pub mod address;
pub mod layer;
pub mod options;
pub mod primary;
pub mod server;
mod store;
pub mod upstream;

pub use layer::{Following, MIN_OFFSET, OFFSET, STALE};
pub use options::FollowOptions;
pub use primary::Primary;
pub use server::{follow, send_all_shown, take_keys};
pub use upstream::Upstream;
