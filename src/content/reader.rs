//! Reads items as documents: cuts their texts into words and, with a text model, adds a vector of title
//! and description.

use super::features::Document;
use super::text_model::{TEXT_MODEL, TextModel};
use super::words::Words;
use crate::domain::Item;

/// Reads items.
#[derive(Debug, Default)]
pub struct Reader {
    words: Words,
    text_model: Option<TextModel>,
}

impl Reader {
    /// A reader with a text model, or without one.
    pub fn new(text_model: Option<TextModel>) -> Self {
        Self { words: Words::default(), text_model }
    }

    /// What is compared of an item.
    pub fn document(&self, item: &Item) -> Document {
        let mut document = Document::of(item, &self.words);
        let vector = self.text_model.as_ref().and_then(|model| model.vector(item));
        if let Some(vector) = vector {
            document.add_vector(TEXT_MODEL, vector.into());
        }
        document
    }
}
