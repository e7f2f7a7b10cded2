//! What items are: their texts, categories, brands, tags, attributes, prices and vectors, as sets of
//! features that can be compared. No learning; the only I/O is the reading of a text model.
//!
//! - [`words`]: a text's words in any language; [`text_model`]: a text's vector
//! - [`reader`]: reads items with both
//! - [`features`]: an item's features
//! - [`weights`]: how much each field counts
//! - [`mod@sentiment`]: what a review says
//! - [`corpus`]: the features of all items, and the items most alike to one

pub mod corpus;
pub mod features;
pub mod reader;
pub mod sentiment;
pub mod text_model;
pub mod weights;
pub mod words;

pub use corpus::Corpus;
pub use features::{Document, Feature, Field};
pub use reader::Reader;
pub use sentiment::sentiment;
pub use text_model::TextModel;
pub use weights::FieldWeights;
pub use words::Words;
