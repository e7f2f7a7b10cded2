//! An object store: S3, GCS, Azure, or a folder that several processes see. Servers share what they know
//! through it.
//!
//! - `bucket`: objects by their names, as far as servers need them; [`error`]: why it fails
//! - `folder`: replaces an object of a folder only where it is still the one that was read
//! - [`piece`]: objects that never change, named by their checksum
//! - [`seat`]: a lease that one server at a time holds, in an object

mod bucket;
pub mod error;
mod folder;
pub mod piece;
pub mod seat;

pub use bucket::{Bucket, Found, Version};
pub use error::ObjectError;
pub use piece::Piece;
pub use seat::{Chair, Renewed, Seat, Seated};
