//! Plain types and small algorithms that everything may use. Knows nothing of
//! files, wires, threads or models.

pub mod change;
pub mod check;
pub mod clock;
pub mod deadline;
pub mod error;
pub mod event;
pub mod held;
pub mod hex;
pub mod history;
pub mod ids;
pub mod item;
pub mod kernels;
pub mod limits;
pub mod order;
pub mod preferences;
pub mod price;
pub mod progress;
pub mod quote;
pub mod secret;
pub mod shard;
pub mod topk;
pub mod user;
pub mod vector;

pub use change::{ItemChange, ItemField, UserChange};
pub use check::{Check, Verdict};
pub use clock::{DAY_MS, now_ms};
pub use deadline::Deadline;
pub use error::{BoxError, Error, Result, Violation};
pub use event::{Event, EventKind, HideScope};
pub use held::Held;
pub use hex::hex;
pub use history::HistoryEvent;
pub use ids::{Generation, ItemIdx, Offset, UserIdx};
pub use item::{Item, Offer, Validity};
pub use preferences::{PreferenceChange, Preferences, Tag};
pub use price::Price;
pub use secret::Secret;
pub use shard::Shard;
pub use user::User;
pub use vector::Vector;
