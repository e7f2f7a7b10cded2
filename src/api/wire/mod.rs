//! The wire: the generated protocol, and conversions between it and the domain.
//!
//! - [`pb`]: the generated messages and services
//! - [`codec`]: refuses messages that do not decode; [`entries`]: and those with too many entries
//! - [`json`]: the same messages in JSON
//! - [`convert`], [`filter`], [`lists`]: conversions that several services need; [`events`], [`items`], [`users`]:
//!   of what is recorded; [`rules`], [`placements`], [`experiments`]: of what people decide; [`insight`]: of portraits and figures of users
//! - [`page_token`]: where a list goes on
//! - [`status`]: the engine's errors as statuses with details

pub mod codec;
pub mod convert;
pub mod entries;
pub mod events;
pub mod experiments;
pub mod filter;
pub mod insight;
pub mod items;
pub mod json;
pub mod lists;
pub mod page_token;
pub mod pb;
pub mod placements;
pub mod rules;
pub mod segments;
pub mod status;
pub mod users;
