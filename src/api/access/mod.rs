//! Access: who may call what.
//!
//! - [`methods`]: every method with the scopes that allow it, and what the audit log says of it
//! - [`authentication`]: from a request's key to its caller, or a refusal
//! - [`audited`]: acts of administration and their outcome
//! - [`dispatch`]: to the services of the caller's store

pub mod audited;
pub mod authentication;
pub mod dispatch;
pub mod methods;
