//! Models that were trained elsewhere.
//!
//! - [`model`]: the parts of one in a snapshot; [`lineage`]: where it came from
//! - [`reader`], [`facts`]: the file in which it is pushed; [`upload`]: that file while it arrives

pub mod facts;
pub mod lineage;
pub mod model;
pub mod reader;
pub mod upload;

pub use lineage::Lineage;
pub use model::Pushed;
