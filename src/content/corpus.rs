//! The documents of all items, and the items most alike to one.
//!
//! The likeness of two items is the weighted mean of the cosine of their features, each weighted by
//! its field and by how rare it is (tf-idf with a term frequency of 1: Spärck Jones 1972,
//! idf = ln(1 + N / n)), and of the cosines of their vectors. Vectors that only one of them has count
//! as unlike.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;
use indexmap::IndexMap;
use roaring::RoaringBitmap;

use super::features::{Document, Feature, Field};
use super::text_model::TEXT_MODEL;
use super::weights::FieldWeights;
use crate::domain::ItemIdx;
use crate::domain::kernels::dot;
use crate::domain::topk::{Scored, keep_top};

/// Maximum number of items that are looked at, those of the rarest features first: common features
/// carry little information and cost much.
const LOOKED_AT: u64 = 10_000;
/// Items that are compared in full, in addition to four times the number asked for.
const COMPARED: usize = 64;

/// The documents of all items.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    documents: Vec<Option<Arc<Document>>>,
    items_of: AHashMap<Feature, RoaringBitmap>,
    /// Dimensions of the vectors by name, and the number of items with one.
    vectors: BTreeMap<String, (usize, usize)>,
    /// Number of documents.
    count: usize,
    bytes: usize,
}

impl Corpus {
    /// A corpus of documents by idx, as [`Corpus::shared`] returns them.
    pub fn of(documents: Vec<Option<Arc<Document>>>) -> Self {
        let mut corpus = Self::default();
        for (idx, document) in (0..).zip(documents) {
            document.into_iter().for_each(|document| corpus.insert(idx, document));
        }
        corpus
    }

    /// The documents by idx, shared and not copied.
    pub fn shared(&self) -> Vec<Option<Arc<Document>>> {
        self.documents.clone()
    }

    /// Adds or replaces the document of an item.
    pub fn insert(&mut self, idx: ItemIdx, document: impl Into<Arc<Document>>) {
        self.remove(idx);
        let document = document.into();
        if document.is_empty() {
            return;
        }

        for &feature in &document.features {
            self.items_of.entry(feature).or_default().insert(idx);
        }
        for (name, vector, _) in &document.vectors {
            match self.vectors.get_mut(name) {
                Some((_, items)) => *items += 1,
                None => drop(self.vectors.insert(name.clone(), (vector.len(), 1))),
            }
        }

        let slot = idx as usize;
        if slot >= self.documents.len() {
            self.documents.resize(slot + 1, None);
        }
        self.count += 1;
        self.bytes += bytes(&document);
        self.documents[slot] = Some(document);
    }

    /// Removes the document of an item.
    pub fn remove(&mut self, idx: ItemIdx) {
        let Some(old) = self.documents.get_mut(idx as usize).and_then(Option::take) else { return };
        self.count -= 1;
        self.bytes -= bytes(&old);
        for feature in &old.features {
            if let Some(items) = self.items_of.get_mut(feature) {
                items.remove(idx);
                if items.is_empty() {
                    self.items_of.remove(feature);
                }
            }
        }
        for (name, ..) in &old.vectors {
            if let Some((_, items)) = self.vectors.get_mut(name) {
                *items -= 1;
                if *items == 0 {
                    self.vectors.remove(name);
                }
            }
        }
    }

    /// The document of an item, if it has one.
    pub fn document(&self, idx: ItemIdx) -> Option<&Arc<Document>> {
        self.documents.get(idx as usize)?.as_ref()
    }

    /// Every document, with its item's idx.
    pub fn documents(&self) -> impl Iterator<Item = (ItemIdx, &Arc<Document>)> {
        (0..).zip(&self.documents).filter_map(|(idx, document)| Some((idx, document.as_ref()?)))
    }

    /// Whether any item has a feature of a field.
    pub fn has_field(&self, field: Field) -> bool {
        self.items_of.keys().any(|&feature| Field::of(feature) == field as usize)
    }

    /// Every kind of vector: its name, its dimensions and its weight.
    pub fn vectors(&self, weights: &FieldWeights) -> impl Iterator<Item = (&str, usize, f32)> {
        let mut of_shop = weights.vectors.into_iter();
        self.vectors.iter().map(move |(name, &(dimensions, _))| {
            let is_model = name == TEXT_MODEL;
            let weight = if is_model { Some(weights.text_model) } else { of_shop.next() };
            (name.as_str(), dimensions, weight.unwrap_or(0.0))
        })
    }

    /// Whether any item has a vector of a text model.
    pub fn has_text_model(&self) -> bool {
        self.vectors.contains_key(TEXT_MODEL)
    }

    /// Every kind of vector that the shop brings: its name and its dimensions.
    pub fn vectors_of_shop(&self) -> impl Iterator<Item = (&str, usize)> {
        let of_shop = self.vectors.iter().filter(|(name, _)| *name != TEXT_MODEL);
        of_shop.map(|(name, &(dimensions, _))| (name.as_str(), dimensions))
    }

    /// The weight of every feature, in their order.
    pub fn feature_weights(&self, weights: &FieldWeights) -> IndexMap<Feature, f32> {
        let weigh = Weigh { corpus: self, fields: weights.of_fields() };
        let mut features: Vec<Feature> = self.items_of.keys().copied().collect();
        features.sort_unstable();
        features.into_iter().map(|feature| (feature, weigh.square(feature).sqrt())).collect()
    }

    /// Number of items with a feature, and with a document.
    fn frequency(&self, feature: Feature) -> (u64, usize) {
        (self.items_of.get(&feature).map_or(0, RoaringBitmap::len), self.count)
    }

    /// Whether no item has a document.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The items most alike to one, best first, at most `k`, with scores above 0, up to 1.
    pub fn alike(&self, idx: ItemIdx, weights: &FieldWeights, k: usize) -> Vec<Scored> {
        self.alike_from(idx, 0, weights, k)
    }

    /// The same among the items from idx `first` on: those that a model does not know yet.
    pub fn alike_from(
        &self,
        idx: ItemIdx,
        first: ItemIdx,
        weights: &FieldWeights,
        k: usize,
    ) -> Vec<Scored> {
        let Some(own) = self.document(idx) else { return Vec::new() };
        let weigh = Weigh { corpus: self, fields: weights.of_fields() };
        let mut rarest: Vec<(&RoaringBitmap, f32)> = own
            .features
            .iter()
            .filter_map(|feature| Some((self.items_of.get(feature)?, weigh.square(*feature))))
            .collect();
        rarest.sort_by_key(|(items, _)| items.len());

        let mut sums: AHashMap<ItemIdx, f32> = AHashMap::new();
        let mut looked_at = 0;
        for (items, square) in rarest {
            if first == 0 {
                looked_at += items.len();
            }
            if looked_at > LOOKED_AT && !sums.is_empty() {
                break;
            }
            let items = items.range(first..).take(LOOKED_AT as usize);
            items.for_each(|item| *sums.entry(item).or_default() += square);
        }

        self.with_vectors_alone(own).filter(|item| *item >= first).for_each(|item| {
            sums.entry(item).or_default();
        });
        let mut found: Vec<Scored> = sums
            .into_iter()
            .filter(|(item, _)| *item != idx)
            .map(|(idx, score)| Scored { idx, score })
            .collect();
        if own.vectors.is_empty() {
            keep_top(&mut found, 4 * k + COMPARED);
        }

        let likeness = Likeness::new(weigh, weights, own);
        for candidate in &mut found {
            candidate.score = match self.document(candidate.idx) {
                Some(other) => likeness.to(other, candidate.score),
                None => 0.0,
            };
        }
        found.retain(|candidate| candidate.score > 0.0);
        keep_top(&mut found, k);
        found
    }

    /// Items to compare because of their vectors, in a catalogue small enough for it.
    fn with_vectors_alone(&self, own: &Document) -> impl Iterator<Item = ItemIdx> {
        let scans = !own.vectors.is_empty() && self.count as u64 <= LOOKED_AT;
        let with =
            self.documents().filter(move |(_, document)| scans && !document.vectors.is_empty());
        with.map(|(idx, _)| idx)
    }
}

/// The weights of features.
struct Weigh<'c> {
    corpus: &'c Corpus,
    fields: [f32; Field::ALL.len()],
}

impl Weigh<'_> {
    /// The square of a feature's weight.
    fn square(&self, feature: Feature) -> f32 {
        let (items, all) = self.corpus.frequency(feature);
        let weight = self.fields[Field::of(feature)] * idf(items, all);
        weight * weight
    }

    fn length(&self, document: &Document) -> f32 {
        document.features.iter().map(|&feature| self.square(feature)).sum::<f32>().sqrt()
    }
}

/// The cosine of two documents' features, each weighing the same; 0 without any.
pub fn cosine(one: &Document, other: &Document) -> f32 {
    let all = (one.features.len() * other.features.len()) as f32;
    let theirs = &mut other.features.iter().peekable();
    let common = one.features.iter().filter(|feature| {
        while theirs.next_if(|next| next < feature).is_some() {}
        theirs.peek() == Some(feature)
    });
    let common = common.count() as f32;
    if common > 0.0 { common / all.sqrt() } else { 0.0 }
}

/// ln(1 + N / n), of a feature that n of N items have.
fn idf(items: u64, all: usize) -> f32 {
    (1.0 + all as f32 / (items as f32).max(1.0)).ln()
}

/// The likeness of items to one.
struct Likeness<'c> {
    weigh: Weigh<'c>,
    own: &'c Document,
    length: f32,
    /// The weight of each of its vectors.
    vectors: Vec<f32>,
    /// All weights together.
    all: f32,
}

impl<'c> Likeness<'c> {
    fn new(weigh: Weigh<'c>, weights: &FieldWeights, own: &'c Document) -> Self {
        let of = |name: &str| {
            let same = weigh.corpus.vectors(weights).find(|(known, ..)| *known == name);
            same.map_or(0.0, |(.., weight)| weight)
        };
        let vectors: Vec<f32> = own.vectors.iter().map(|(name, ..)| of(name)).collect();
        let length = weigh.length(own);
        let text = if length > 0.0 { 1.0 } else { 0.0 };
        let all = text + vectors.iter().sum::<f32>();
        Self { weigh, own, length, vectors, all }
    }

    /// The likeness to another item; `shared`: the sum of the squared weights of common features.
    fn to(&self, other: &Document, shared: f32) -> f32 {
        let mut score = 0.0;
        if shared > 0.0 {
            score += shared / (self.length * self.weigh.length(other));
        }
        for ((name, vector, inverse), weight) in self.own.vectors.iter().zip(&self.vectors) {
            let same = other.vectors.iter().find(|(of, ..)| of == name);
            if let Some((_, theirs, their_inverse)) = same
                && theirs.len() == vector.len()
            {
                score += weight * dot(vector, theirs) * inverse * their_inverse;
            }
        }
        (score / self.all).min(1.0)
    }
}

/// Bytes of a document with its places in the lists of its features.
fn bytes(document: &Document) -> usize {
    document.bytes() + 2 * size_of_val(&*document.features)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Words;
    use crate::domain::Item;

    fn titled(title: &str) -> Item {
        Item { title: title.into(), ..Item::default() }
    }

    fn corpus(items: &[Item]) -> Corpus {
        let words = Words::default();
        let mut corpus = Corpus::default();
        for (idx, item) in (0..).zip(items) {
            corpus.insert(idx, Document::of(item, &words));
        }
        corpus
    }

    fn alike(corpus: &Corpus, idx: ItemIdx) -> Vec<ItemIdx> {
        corpus.alike(idx, &FieldWeights::default(), 9).iter().map(|s| s.idx).collect()
    }

    #[test]
    fn rare_common_words_say_more_than_frequent_ones() {
        let corpus = corpus(&[
            titled("red dragon lantern"),
            titled("blue dragon"),
            titled("red mug"),
            titled("red plate"),
            titled("lanterns"),
            titled("chair"),
        ]);
        // "lanterns" shares parts of a word; the chair shares nothing.
        assert_eq!(alike(&corpus, 0)[0], 1);
        assert!(alike(&corpus, 0).contains(&4) && !alike(&corpus, 0).contains(&5));
        let own = corpus.alike(0, &FieldWeights::default(), 9);
        assert!(own.iter().all(|s| s.score > 0.0 && s.score < 1.0), "{own:?}");
        assert_eq!(corpus.alike(9, &FieldWeights::default(), 9), []);
    }

    #[test]
    fn equal_items_are_wholly_alike_and_removed_ones_not_at_all() {
        let mut corpus = corpus(&[titled("龙井绿茶"), titled("龙井绿茶"), titled("红茶")]);
        let found = corpus.alike(0, &FieldWeights::default(), 9);
        assert!(found[0].idx == 1 && (found[0].score - 1.0).abs() < 1e-5, "{found:?}");
        corpus.remove(1);
        assert_eq!(alike(&corpus, 0), [2]);
        corpus.remove(0);
        corpus.remove(2);
        assert_eq!((corpus.bytes, corpus.count, corpus.items_of.len()), (0, 0, 0));
    }

    #[test]
    fn a_text_model_takes_no_weight_of_the_shops_vectors() {
        let names = ["a", "b", "c", "d"];
        let embeddings = names.map(|name| (name.to_owned(), vec![1.0].into())).into();
        let mut document = Document::of(&Item { embeddings, ..titled("mug") }, &Words::default());
        let before = document.bytes();
        document.add_vector(TEXT_MODEL, vec![1.0; 100].into());
        assert!(document.bytes() >= before + 400);
        let mut corpus = Corpus::default();
        corpus.insert(0, document);

        let vectors = [1.0, 2.0, 3.0, 4.0];
        let weights = FieldWeights { vectors, text_model: 5.0, ..FieldWeights::default() };
        let weighed: Vec<_> = corpus.vectors(&weights).map(|(name, _, w)| (name, w)).collect();
        assert_eq!(weighed, [(TEXT_MODEL, 5.0), ("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)]);
        let of_shop: Vec<_> = corpus.vectors_of_shop().map(|(name, _)| name).collect();
        assert_eq!(of_shop, names);
    }

    #[test]
    fn vectors_count_beside_words() {
        let with = |title: &str, vector: Vec<f32>| Item {
            embeddings: [("image".into(), vector.into())].into(),
            ..titled(title)
        };
        let corpus = corpus(&[
            with("mug", vec![1.0, 0.0]),
            with("mug", vec![0.0, 1.0]),
            with("cup", vec![5.0, 0.1]),
            titled("mug"),
        ]);
        let weights = FieldWeights::default();
        assert_eq!(corpus.vectors(&weights).collect::<Vec<_>>(), [("image", 2, 1.0)]);
        let weigh = |image| {
            let vectors = [image, 0.0, 0.0, 0.0];
            let found = corpus.alike(0, &FieldWeights { vectors, ..Default::default() }, 3);
            found.iter().map(|s| s.idx).collect::<Vec<_>>()
        };
        assert_eq!(weigh(4.0)[0], 2);
        assert_eq!(weigh(0.1)[..2], [1, 3]);
    }
}
