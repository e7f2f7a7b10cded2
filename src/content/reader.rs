//! Reads items as documents: cuts their texts into words and, with a text model, adds a vector of title
//! and description.

use std::path::Path;

use super::features::Document;
use super::text_model::{TEXT_MODEL, TextModel};
use super::words::Words;
use crate::domain::{Item, Violation};

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

    /// A reader with the text model of a folder; without one where the path is empty.
    ///
    /// # Errors
    /// Names `catalog.text_model` where the folder holds none that can be read.
    pub fn open(text_model: &Path) -> Result<Self, Violation> {
        if text_model.as_os_str().is_empty() {
            return Ok(Self::default());
        }
        let loaded = TextModel::load(text_model).map_err(|why| {
            let message = format!("{}: {why}", text_model.display());
            Violation::new("catalog.text_model", message)
        });
        Ok(Self::new(Some(loaded?)))
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
