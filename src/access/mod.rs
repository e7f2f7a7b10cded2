//! Who may do what: API keys with their scopes and quotas, and the audit log. The api asks, and
//! the command line edits.
//!
//! - [`scope`]: what the holder of a key may do
//! - [`key`]: one key as it is stored; [`secret`]: how secrets are made and hashed
//! - [`keyring`]: all keys, in a file that several processes may change; `file`: that file
//! - [`quota`]: the rate of requests and bytes; [`usage`]: what runs at this moment
//! - [`attempts`]: unknown keys, by the address that tries them
//! - [`audit`]: who did which act of administration, and its outcome; `failures`: how many of the
//!   failed ones it takes

pub mod attempts;
pub mod audit;
mod error;
mod failures;
mod file;
pub mod key;
pub mod keyring;
pub mod quota;
pub mod scope;
pub mod secret;
pub mod usage;

pub use attempts::Attempts;
pub use audit::{Audit, AuditOptions};
pub use error::AccessError;
pub use key::{Key, KeySpec};
pub use keyring::{HeldKey, Keyring, Refusal};
pub use quota::{Quota, RateLimiter};
pub use scope::Scope;
pub use usage::Usage;
