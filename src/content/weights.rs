//! How much each field of an item counts when items are compared.

use serde::{Deserialize, Serialize};

use super::features::Field;
use crate::domain::limits;

/// How much each field of an item counts, and each of its vectors; the features together count 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldWeights {
    /// Words of the title.
    pub title: f32,
    /// Parts of words of the title.
    pub part: f32,
    /// Words of the description.
    pub description: f32,
    /// Categories.
    pub category: f32,
    /// The brand.
    pub brand: f32,
    /// Tags.
    pub tag: f32,
    /// Attributes.
    pub attribute: f32,
    /// The price band.
    pub price: f32,
    /// The vectors that the shop brings, in the order of their names.
    pub vectors: [f32; limits::MAX_EMBEDDINGS],
    /// The vector of a text model.
    pub text_model: f32,
}

impl Default for FieldWeights {
    fn default() -> Self {
        Self {
            title: 1.0,
            part: 0.3,
            description: 0.3,
            category: 1.0,
            brand: 1.0,
            tag: 1.0,
            attribute: 1.0,
            price: 0.3,
            vectors: [1.0; limits::MAX_EMBEDDINGS],
            text_model: 1.0,
        }
    }
}

impl FieldWeights {
    /// The weights of features, by the number of their field.
    pub fn of_fields(&self) -> [f32; Field::ALL.len()] {
        let Self { title, part, description, category, brand, tag, attribute, price, .. } = *self;
        [title, part, description, category, brand, tag, attribute, price]
    }

    /// The weights of all vectors: those of the shop, then a text model's.
    pub fn of_vectors(&self) -> impl Iterator<Item = f32> {
        self.vectors.into_iter().chain([self.text_model])
    }
}
