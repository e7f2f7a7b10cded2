//! Items of the catalogue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quote::quoted;
use super::{Vector, Violation, limits};

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
    /// A longer text; searched for likeness, not shown by the server.
    pub description: String,
    /// The product that it is a variant of; a list shows one item of a group. May be empty.
    pub group_id: String,
    /// What the shop earns with one, in its currency; negative for a loss.
    pub margin: Option<f64>,
    /// Vectors that the shop brings, by name ("text", "image").
    pub embeddings: BTreeMap<String, Vector>,
    /// Availability and price by context: a branch, a country, a currency. In a context that is
    /// not among them the item is as everywhere.
    pub offers: BTreeMap<String, Offer>,
}

/// An item in one context.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Whether it is available there.
    pub available: bool,
    /// Its price there; none: the price everywhere.
    pub price: Option<f64>,
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
            description: String::new(),
            group_id: String::new(),
            margin: None,
            embeddings: BTreeMap::new(),
            offers: BTreeMap::new(),
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
    /// Its categories and those above them: each path and all its prefixes.
    pub fn category_paths(&self) -> impl Iterator<Item = &str> {
        self.categories.iter().flat_map(|path| {
            let path = path.trim_matches('/');
            path.match_indices('/').map(|(at, _)| &path[..at]).chain([path])
        })
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let lists = self.categories.iter().chain(&self.tags).map(|text| text.len() + 8);
        let attributes = self.attributes.iter().map(|(key, value)| key.len() + value.len() + 16);
        let vectors = self.embeddings.iter().map(|(key, v)| key.len() + size_of_val(&v[..]) + 48);
        let offers = self.offers.keys().map(|key| key.len() + size_of::<Offer>() + 24);
        let texts =
            self.title.len() + self.brand.len() + self.description.len() + self.group_id.len();
        let parts = lists.chain(attributes).chain(vectors).chain(offers);
        size_of::<Item>() + texts + parts.sum::<usize>()
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
        self.validity.validate()?;

        limits::text("description", &self.description, limits::MAX_DESCRIPTION_BYTES)?;
        limits::optional_id("group_id", &self.group_id)?;
        if let Some(margin) = self.margin {
            limits::number("margin", margin, -limits::MAX_PRICE, limits::MAX_PRICE)?;
        }
        self.validate_embeddings()?;
        self.validate_offers()
    }

    fn validate_embeddings(&self) -> Result<(), Violation> {
        limits::count("embeddings", self.embeddings.len(), 0, limits::MAX_EMBEDDINGS)?;
        for (name, values) in &self.embeddings {
            limits::name("embeddings key", name)?;
            let field = format!("embeddings[{}].values", quoted(name));
            limits::count(&field, values.len(), 1, limits::MAX_DIMENSIONS)?;
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(Violation::new(
                    field,
                    format!("must be finite numbers, one is {value}"),
                ));
            }
            if values.iter().all(|value| *value == 0.0) {
                return Err(Violation::new(
                    field,
                    "must not all be 0: such a vector has no direction",
                ));
            }
        }
        Ok(())
    }

    fn validate_offers(&self) -> Result<(), Violation> {
        limits::count("offers", self.offers.len(), 0, limits::MAX_TAGS)?;
        for (context, offer) in &self.offers {
            limits::new_id("offers key", context)?;
            if let Some(price) = offer.price {
                let field = format!("offers[{}].price", quoted(context));
                limits::number(&field, price, 0.0, limits::MAX_PRICE)?;
            }
        }
        Ok(())
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
