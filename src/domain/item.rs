//! Items of the catalogue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quote::quoted;
use super::{Violation, limits};

/// An item of the catalogue; its id lives in the vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The title that users see.
    pub title: String,
    /// Paths from the general to the specific, parts separated by `/`.
    pub categories: Vec<String>,
    /// Maker or label; may be empty.
    pub brand: String,
    /// In the store's currency.
    pub price: Option<f64>,
    /// Words to filter by.
    pub tags: Vec<String>,
    /// Whether it is available now.
    pub available: bool,
    /// Other attributes, returned as given; short values can be filtered by.
    pub attributes: BTreeMap<String, String>,
    /// The time in which it may be offered.
    pub validity: Validity,
}

/// A span of time, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Validity {
    /// Inclusive start; none: no start.
    pub from_ms: Option<i64>,
    /// Exclusive end; none: no end.
    pub until_ms: Option<i64>,
}

impl Default for Item {
    /// An item without data: available, all other fields empty.
    fn default() -> Self {
        Self {
            title: String::new(),
            categories: Vec::new(),
            brand: String::new(),
            price: None,
            tags: Vec::new(),
            available: true,
            attributes: BTreeMap::new(),
            validity: Validity::default(),
        }
    }
}

impl Validity {
    /// Checks that both ends are within range and in order.
    pub fn validate(self) -> Result<(), Violation> {
        let Self { from_ms, until_ms } = self;
        for (field, ms) in [("valid_from", from_ms), ("valid_until", until_ms)] {
            if let Some(ms) = ms {
                limits::number(field, ms as f64, 0.0, limits::MAX_VALID_MS as f64)?;
            }
        }

        match (from_ms, until_ms) {
            (Some(from), Some(until)) if from >= until => {
                Err(Violation::new("valid_until", "must be after valid_from"))
            }
            _ => Ok(()),
        }
    }
}

impl Item {
    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let lists = self.categories.iter().chain(&self.tags).map(|text| text.len() + 8);
        let attributes = self.attributes.iter().map(|(key, value)| key.len() + value.len() + 16);
        let texts = self.title.len() + self.brand.len();
        size_of::<Item>() + texts + lists.sum::<usize>() + attributes.sum::<usize>()
    }

    /// Checks every limit; the violation names the field.
    pub fn validate(&self) -> Result<(), Violation> {
        limits::text("title", &self.title, limits::MAX_TITLE_BYTES)?;
        limits::optional_id("brand", &self.brand)?;
        if let Some(price) = self.price {
            limits::number("price", price, 0.0, limits::MAX_PRICE)?;
        }

        limits::count("categories", self.categories.len(), 0, limits::MAX_CATEGORIES)?;
        for (i, category) in self.categories.iter().enumerate() {
            limits::new_id(&format!("categories[{i}]"), category)?;
        }

        limits::count("tags", self.tags.len(), 0, limits::MAX_TAGS)?;
        for (i, tag) in self.tags.iter().enumerate() {
            limits::new_id(&format!("tags[{i}]"), tag)?;
        }

        limits::count("attributes", self.attributes.len(), 0, limits::MAX_TAGS)?;
        for (key, value) in &self.attributes {
            limits::new_id("attributes key", key)?;
            limits::text(
                &format!("attributes[{}]", quoted(key)),
                value,
                limits::MAX_ATTRIBUTE_BYTES,
            )?;
        }
        self.validity.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked_field_by_field() {
        let field = |item: Item| item.validate().unwrap_err().field;
        assert_eq!(Item::default().validate(), Ok(()));
        assert_eq!(field(Item { title: "t".repeat(2_000), ..Item::default() }), "title");
        assert_eq!(field(Item { price: Some(f64::NAN), ..Item::default() }), "price");
        let categories = vec!["home".into(), String::new()];
        assert_eq!(field(Item { categories, ..Item::default() }), "categories[1]");
        let tags = vec!["t".to_owned(); 65];
        assert_eq!(field(Item { tags, ..Item::default() }), "tags");
        let attributes = BTreeMap::from([("k".to_owned(), "v".repeat(5_000))]);
        assert_eq!(field(Item { attributes, ..Item::default() }), "attributes[\"k\"]");

        let valid = |from_ms, until_ms| Item {
            validity: Validity { from_ms, until_ms },
            ..Item::default()
        };
        assert_eq!(field(valid(Some(-1), None)), "valid_from");
        assert_eq!(field(valid(Some(7), Some(7))), "valid_until");
        assert_eq!(valid(Some(7), Some(8)).validate(), Ok(()));
    }
}
