//! An item's features: a number for each word, part of a word, category, brand, tag, attribute and
//! price band, and the vectors that the shop brings.
//!
//! A feature is 32 bits: four of its field, so that its weight needs no table, and 28 of a hash. Of a
//! hundred thousand features of a field, some twenty share their hash with another.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::text_model::TEXT_MODEL;
use super::words::{Words, is_han};
use crate::domain::{Item, Vector};

/// Words of a text that are read.
const TEXT_WORDS: usize = 400;
/// Features of a field that are kept.
const KEPT: usize = 128;
/// Characters of a part of a word.
const PART: usize = 4;
/// Longest value of an attribute that is one feature; longer ones are texts.
const VALUE_BYTES: usize = 48;
/// Price bands to each doubling of the price.
const BANDS: f64 = 2.0;

/// A feature.
pub type Feature = u32;

/// The field of an item that a feature comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Field {
    /// A word of the title.
    Title,
    /// Four characters of a word of the title.
    Part,
    /// A word of the description, or of a long attribute.
    Description,
    /// A category, or one above it.
    Category,
    /// The brand.
    Brand,
    /// A tag.
    Tag,
    /// An attribute with its value.
    Attribute,
    /// The band of the price: half a doubling.
    Price,
}

impl Field {
    /// Every field, in the order of their numbers.
    pub const ALL: [Field; 8] = [
        Field::Title,
        Field::Part,
        Field::Description,
        Field::Category,
        Field::Brand,
        Field::Tag,
        Field::Attribute,
        Field::Price,
    ];

    /// The field of a feature.
    #[inline]
    pub fn of(feature: Feature) -> usize {
        (feature >> 28) as usize
    }

    fn feature(self, text: &str) -> Feature {
        (self as u32) << 28 | (xxh3_64_with_seed(text.as_bytes(), 0) as u32 & 0x0fff_ffff)
    }
}

/// What is compared of an item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    /// Its features, ascending.
    pub features: Box<[Feature]>,
    /// Its vectors by name, ascending, each with one over its length.
    pub vectors: Box<[(String, Vector, f32)]>,
}

impl Document {
    /// The document of an item.
    pub fn of(item: &Item, words: &Words) -> Self {
        let mut features = Vec::new();
        let title = words.of(&item.title, TEXT_WORDS);
        add(&mut features, Field::Title, title.iter().map(String::as_str));
        add(&mut features, Field::Part, title.iter().flat_map(|word| parts(word)));
        let long = item.attributes.values().filter(|value| value.len() > VALUE_BYTES);
        let mut text = words.of(&item.description, TEXT_WORDS);
        long.for_each(|value| text.extend(words.of(value, TEXT_WORDS)));
        add(&mut features, Field::Description, text.iter().map(String::as_str));

        add(&mut features, Field::Category, item.category_paths());
        add(&mut features, Field::Brand, [item.brand.as_str()]);
        add(&mut features, Field::Tag, item.tags.iter().map(String::as_str));
        let short = item.attributes.iter().filter(|(_, value)| value.len() <= VALUE_BYTES);
        let named: Vec<String> = short.map(|(name, value)| format!("{name}\0{value}")).collect();
        add(&mut features, Field::Attribute, named.iter().map(String::as_str));
        let band = item.price.filter(|price| *price > 0.0).map(band).unwrap_or_default();
        add(&mut features, Field::Price, [band.as_str()]);

        features.sort_unstable();
        let vectors = item
            .embeddings
            .iter()
            .map(|(name, vector)| (name.clone(), vector.clone(), inverse_length(vector)));
        Self { features: features.into(), vectors: vectors.collect() }
    }

    /// Adds a vector that is not all zeros, under a name that it does not have.
    pub(super) fn add_vector(&mut self, name: &str, vector: Vector) {
        let mut vectors = std::mem::take(&mut self.vectors).into_vec();
        let at = vectors.partition_point(|(other, ..)| other.as_str() < name);
        let inverse = inverse_length(&vector);
        vectors.insert(at, (name.to_owned(), vector, inverse));
        self.vectors = vectors.into();
    }

    /// Whether there is nothing to compare.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty() && self.vectors.is_empty()
    }

    /// Approximate bytes in memory, without the vectors of the shop, which the item holds.
    pub fn bytes(&self) -> usize {
        let of_model = self.vectors.iter().filter(|(name, ..)| name == TEXT_MODEL);
        let of_model: usize = of_model.map(|(_, vector, _)| size_of_val(&**vector)).sum();
        let own = size_of::<Self>() + size_of_val(&*self.features) + size_of_val(&*self.vectors);
        own + of_model
    }
}

/// One over the length of a vector.
fn inverse_length(vector: &[f32]) -> f32 {
    let squares: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    (1.0 / squares.sqrt()) as f32
}

/// Whether two items have the same document.
pub fn is_same(one: &Item, other: &Item) -> bool {
    let band = |item: &Item| item.price.filter(|price| *price > 0.0).map(band);
    one.title == other.title
        && one.description == other.description
        && one.categories == other.categories
        && one.brand == other.brand
        && one.tags == other.tags
        && one.attributes == other.attributes
        && one.embeddings == other.embeddings
        && band(one) == band(other)
}

/// Adds the first distinct features of a field.
fn add<'t>(features: &mut Vec<Feature>, field: Field, texts: impl IntoIterator<Item = &'t str>) {
    let begin = features.len();
    for text in texts.into_iter().filter(|text| !text.is_empty()) {
        let feature = field.feature(text);
        if features.len() == begin + KEPT {
            return;
        }
        if !features[begin..].contains(&feature) {
            features.push(feature);
        }
    }
}

/// The parts of a word: every four characters in a row; of Han characters, every single one. None of
/// a short word, which is a feature as a whole.
fn parts(word: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = word.char_indices().map(|(at, _)| at).collect();
    starts.push(word.len());
    let size = if word.starts_with(is_han) { 1 } else { PART };
    if starts.len() <= size + 1 {
        return Vec::new();
    }
    starts.windows(size + 1).map(|window| &word[window[0]..window[size]]).collect()
}

fn band(price: f64) -> String {
    (price.log2() * BANDS).floor().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(document: &Document) -> Vec<usize> {
        document.features.iter().map(|&feature| Field::of(feature)).collect()
    }

    #[test]
    fn every_field_has_its_features() {
        let item = Item {
            title: "Red Lantern".into(),
            description: "A lantern".into(),
            categories: vec!["home/lighting".into()],
            brand: "Lux".into(),
            tags: vec!["new".into()],
            attributes: [("size".into(), "m".into()), ("story".into(), "x y ".repeat(20))].into(),
            price: Some(4.5),
            embeddings: [("text".into(), vec![3.0, 4.0].into())].into(),
            ..Item::default()
        };
        let document = Document::of(&item, &Words::default());
        let parts = [1; 4]; // lant, ante, nter, tern
        let description = [2; 4]; // a, lantern, x, y
        let expected =
            [&[0, 0][..], &parts[..], &description[..], &[3, 3, 4, 5, 6, 7][..]].concat();
        assert_eq!(fields(&document), expected);
        assert!((document.vectors[0].2 - 0.2).abs() < 1e-7);

        // Another price in the same band, and an unlike one.
        let price = |price| Item { price: Some(price), ..item.clone() };
        assert!(is_same(&item, &price(4.6)) && !is_same(&item, &price(9.0)));
        assert_eq!(Document::of(&price(4.6), &Words::default()), document);
    }

    #[test]
    fn a_long_description_has_a_bounded_number_of_features() {
        let words: Vec<String> = (0..20_000).map(|n| format!("w{n}")).collect();
        let mut description = words.join(" ");
        description.truncate(65_536);
        let item = Item { description, ..Item::default() };
        assert_eq!(Document::of(&item, &Words::default()).features.len(), KEPT);
        assert!(Document::of(&Item::default(), &Words::default()).is_empty());
    }

    #[test]
    fn words_are_cut_in_parts() {
        assert_eq!(parts("lamps"), ["lamp", "amps"]);
        assert_eq!(parts("lamp"), [""; 0]);
        assert_eq!(parts("绿茶"), ["绿", "茶"]);
        assert_eq!(parts("茶"), [""; 0]);
    }
}
