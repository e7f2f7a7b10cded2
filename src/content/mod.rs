//! What items are: their texts, categories, brands, tags, attributes, prices and vectors, as sets of
//! features that can be compared. No learning and no I/O.
//!
//! - [`words`]: a text's words in any language
//! - [`features`]: an item's features
//! - [`corpus`]: the features of all items, and the items most alike to one

pub mod corpus;
pub mod features;
pub mod words;

pub use corpus::{Corpus, FieldWeights};
pub use features::{Document, Feature, Field};
pub use words::Words;
