//! Plain types and small algorithms that everything may use. Knows nothing of
//! files, wires, threads or models.

pub mod change;
pub mod check;
pub mod error;
pub mod event;
pub mod hex;
pub mod history;
pub mod item;
pub mod kernels;
pub mod limits;
pub mod price;
pub mod progress;
pub mod quote;
pub mod secret;
pub mod topk;
pub mod user;

pub use change::{ItemChange, ItemField, UserChange};
pub use check::{Check, Verdict};
pub use error::{Error, Result, Violation};
pub use event::{Event, EventKind};
pub use hex::hex;
pub use history::HistoryEvent;
pub use item::{Item, Validity};
pub use price::Price;
pub use secret::Secret;
pub use user::User;

/// A user's dense internal id: assigned in log order, never reused.
pub type UserIdx = u32;
/// An item's dense internal id: assigned in log order, never reused.
pub type ItemIdx = u32;
/// A record's place in the log, counted from 0.
pub type Offset = u64;
/// The number of a published snapshot, from 1; 0 stands for "none yet".
pub type Generation = u64;

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;

/// The wall clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}
