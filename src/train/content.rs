//! Content neighbours: the items most alike to each by what they are.
//!
//! The candidates of an item are those with the most alike features, by the sparse product of the
//! normalised tf-idf rows, and for each kind of vector the nearest ones; they are then compared by
//! features and vectors together, as [`Corpus::alike`] does for a single item.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::cooccurrence::Product;
use super::graph::build::{build, checked};
use super::pushed;
use crate::content::{Corpus, Document, FieldWeights};
use crate::domain::ItemIdx;
use crate::domain::kernels::dot;
use crate::domain::progress::{Cancelled, Control};
use crate::domain::topk::{Scored, keep_top};
use crate::matrix::Csr;
use crate::model::pushed::facts::{FoldIn, Metric};
use crate::model::settings::{ContentSettings, EmbeddingSettings};
use crate::model::vectors::embeddings::SCAN_UP_TO;
use crate::train::TrainError;

/// Most pairs of items with a common feature that are compared, those of the rarest features first.
const MAX_PAIRS: u64 = 400_000_000;

/// The power of likenesses: two items that share half of what they are say much less of each other
/// than two that share all of it.
pub(crate) const SHARPNESS: i32 = 4;

/// How much less alike an item with many buyers counts than an equal one without, and equals by chance.
const KNOWN: f32 = 1e-3;
const CHANCE: f32 = 1e-4;

/// The neighbours of `items` items: items × items, best first. The values of a row are the likenesses
/// to the fourth power, scaled to a sum of 1: an item of which a hundred are copies says little of each
/// (as the walk of P3alpha, Cooper et al., WWW 2014, spreads over the buyers of an item).
///
/// Of many equal items a row has room for some: first those with few buyers, which no other source
/// proposes, then any.
///
/// # Errors
/// [`TrainError::Cancelled`] when cancelled.
pub fn train(
    corpus: &Corpus,
    buyers: &[f32],
    settings: &ContentSettings,
    seed: u64,
    control: &Control<'_>,
) -> Result<Csr, TrainError> {
    let items = buyers.len();
    let keep = settings.neighbours;
    let rows = normalised(corpus, items, &settings.fields);
    let by_feature = rows.transpose();
    let rare = without_common(&by_feature);
    let ones = vec![1.0; rare.rows()];
    let ranked = |item: usize, other: usize, cosine: f32| {
        let known = 1.0 - 1.0 / (1.0 + buyers[other]);
        cosine * (1.0 - KNOWN * known - CHANCE * chance(seed, item, other))
    };
    let product = Product { rows: &rare, by_item: &rare.transpose(), row_weight: &ones };
    let score = |item| move |other, cosine| ranked(item, other, cosine);
    let text = product.best(score, keep, control)?;

    let mut nearest = Vec::new();
    let mut vectors = Vec::new();
    for (name, dimensions, weight) in corpus.vectors(&settings.fields) {
        if weight > 0.0 {
            let of_name = of_name(corpus, items, name, dimensions);
            nearest.push(neighbours(&of_name, dimensions, keep, seed, control)?);
            vectors.push((of_name, dimensions, weight));
        }
    }
    if vectors.is_empty() {
        return Ok(spread(text));
    }

    let fused: Vec<Vec<(u32, f32)>> = (0..items)
        .into_par_iter()
        .map(|item| {
            control.check()?;
            let mut candidates: Vec<u32> = text.row(item).0.to_vec();
            nearest.iter().for_each(|table| candidates.extend_from_slice(table.row(item).0));
            candidates.sort_unstable();
            candidates.dedup();
            let mut fused = fuse(item, &candidates, &rows, &vectors);
            fused.iter_mut().for_each(|s| s.score = ranked(item, s.idx as usize, s.score));
            keep_top(&mut fused, keep);
            Ok(fused.into_iter().map(|s| (s.idx, s.score)).collect())
        })
        .collect::<Result<_, Cancelled>>()?;
    Ok(spread(Csr::from_rows(items, fused)))
}

/// A number from 0 to 1 for two items.
fn chance(seed: u64, item: usize, other: usize) -> f32 {
    let pair = ((item as u64) << 32 | other as u64).to_le_bytes();
    xxh3_64_with_seed(&pair, seed) as u32 as f32 / u32::MAX as f32
}

/// The likenesses of neighbours, as weights that an item spreads over them.
fn spread(mut table: Csr) -> Csr {
    table.values.iter_mut().for_each(|value| *value = value.powi(SHARPNESS));
    table.scale_rows();
    table
}

/// Items × features, each row of length 1, by tf-idf.
pub(super) fn normalised(corpus: &Corpus, items: usize, weights: &FieldWeights) -> Csr {
    let of_features = corpus.feature_weights(weights);
    let mut rows = Csr::new(of_features.len());
    let row = |document: &Document| {
        let places = document.features.iter().filter_map(|f| of_features.get_full(f));
        let cells: Vec<(u32, f32)> = places.map(|(at, _, weight)| (at as u32, *weight)).collect();
        let length = cells.iter().map(|(_, w)| w * w).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        cells.into_iter().map(|(at, weight)| (at, weight / length)).collect::<Vec<_>>()
    };
    for item in 0..items {
        let document = corpus.document(item as ItemIdx);
        rows.push_row(document.map(|document| row(document)).unwrap_or_default());
    }
    rows
}

/// The features × items, without the most common features, which cost most and say least.
fn without_common(by_feature: &Csr) -> Csr {
    let mut degrees: Vec<u64> =
        (0..by_feature.rows()).map(|feature| by_feature.degree(feature) as u64).collect();
    degrees.sort_unstable();
    let mut pairs = 0;
    let fits = degrees.iter().take_while(|&&degree| {
        pairs += degree * degree;
        pairs <= MAX_PAIRS
    });
    let most = fits.last().copied().unwrap_or(0) as usize;

    let mut rare = Csr::new(by_feature.width);
    for feature in (0..by_feature.rows()).filter(|&f| (2..=most).contains(&by_feature.degree(f))) {
        rare.push_row(by_feature.pairs(feature));
    }
    rare
}

/// The vectors of a name, items × dimensions, of length 1; zeros without one.
fn of_name(corpus: &Corpus, items: usize, name: &str, dimensions: usize) -> Vec<f32> {
    let mut all = vec![0.0; items * dimensions];
    for (idx, document) in corpus.documents().filter(|(idx, _)| (*idx as usize) < items) {
        let own = document.vectors.iter().find(|(of, ..)| of == name);
        if let Some((_, vector, inverse)) = own {
            let row = &mut all[idx as usize * dimensions..][..dimensions];
            row.iter_mut().zip(vector.iter()).for_each(|(to, from)| *to = from * inverse);
        }
    }
    all
}

/// The nearest neighbours of every vector; by a graph where they are too many to be compared.
fn neighbours(
    vectors: &[f32],
    dimensions: usize,
    keep: usize,
    seed: u64,
    control: &Control<'_>,
) -> Result<Csr, TrainError> {
    let (metric, fold_in) = (Metric::Cosine, FoldIn::Sum);
    let mut model = pushed::embeddings(vectors.to_vec(), dimensions, metric, fold_in);
    let items = model.items();
    let placed: Vec<u32> = (0..items as u32).filter(|&item| model.has(item)).collect();
    if placed.len() > SCAN_UP_TO {
        let query = |at: usize| model.vector(placed[at]).to_vec();
        let queries = checked(placed.len()).map(query).collect();
        build(&mut model, &EmbeddingSettings::default(), queries, seed, control)?;
    }

    let rows: Vec<Vec<(u32, f32)>> = (0..items)
        .into_par_iter()
        .map_init(Default::default, |search, item| {
            control.check()?;
            if !model.has(item as u32) {
                return Ok(Vec::new());
            }
            let vector = model.vector(item as u32);
            let found = if model.ann.is_empty() {
                model.scan(vector, 0..items as u32, keep + 1)
            } else {
                model.search(vector, keep + 1, search)
            };
            let others = found.iter().filter(|s| s.idx as usize != item && s.score > 0.0);
            Ok(others.map(|s| (s.idx, s.score)).collect())
        })
        .collect::<Result<_, Cancelled>>()?;
    Ok(Csr::from_rows(items, rows))
}

/// An item's candidates with their likenesses by features and vectors together, where these are above 0.
fn fuse(
    item: usize,
    candidates: &[u32],
    rows: &Csr,
    vectors: &[(Vec<f32>, usize, f32)],
) -> Vec<Scored> {
    let of = |(all, dimensions, _): &(Vec<f32>, usize, f32), at: usize| {
        all[at * dimensions..][..*dimensions].to_vec()
    };
    let has = |vector: &[f32]| vector.iter().any(|x| *x != 0.0);
    let own: Vec<Vec<f32>> = vectors.iter().map(|of_name| of(of_name, item)).collect();
    let own_weights =
        vectors.iter().zip(&own).filter(|(_, own)| has(own)).map(|((_, _, weight), _)| weight);
    let text = if rows.degree(item) > 0 { 1.0 } else { 0.0 };
    let all = text + own_weights.sum::<f32>();

    let score = |&candidate: &u32| {
        let other = candidate as usize;
        let mut score = sparse_dot(rows, item, other);
        for (of_name, own) in vectors.iter().zip(&own) {
            score += of_name.2 * dot(own, &of(of_name, other));
        }
        Scored { idx: candidate, score: score / all }
    };
    candidates.iter().map(score).filter(|s| s.score > 0.0).collect()
}

/// The inner product of two rows, whose columns ascend.
fn sparse_dot(rows: &Csr, one: usize, other: usize) -> f32 {
    let (columns, values) = rows.row(other);
    let found = rows.pairs(one).filter_map(|(column, value)| {
        let at = columns.binary_search(&column).ok()?;
        Some(value * values[at])
    });
    found.sum()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::content::Words;
    use crate::domain::Item;

    #[test]
    fn the_table_says_what_a_single_question_says() {
        let words = Words::default();
        let mut corpus = Corpus::default();
        let titles = ["red dragon lantern", "blue dragon", "red mug", "green mug", "blue lantern"];
        for (idx, title) in (0..).zip(titles) {
            let vector = vec![idx as f32, 1.0];
            let embeddings = [("image".to_owned(), vector.into())].into();
            let item = Item { title: title.into(), embeddings, ..Item::default() };
            corpus.insert(idx, Document::of(&item, &words));
        }

        let settings = ContentSettings::default();
        let cancel = AtomicBool::new(false);
        let control = Control::new(&|_| {}, &cancel);
        let table = train(&corpus, &[0.0; 6], &settings, 1, &control).unwrap();
        assert_eq!((table.rows(), table.degree(5)), (6, 0));
        for item in 0..5 {
            let asked = corpus.alike(item, &settings.fields, settings.neighbours);
            let trained: Vec<(u32, f32)> = table.pairs(item as usize).collect();
            assert_eq!(trained.len(), asked.len());
            let all: f32 = asked.iter().map(|s| s.score.powi(SHARPNESS)).sum();
            for (trained, asked) in trained.iter().zip(&asked) {
                assert_eq!(trained.0, asked.idx);
                let weight = asked.score.powi(SHARPNESS) / all;
                assert!((trained.1 - weight).abs() < 1e-3, "{trained:?} {asked:?}");
            }
        }
    }

    #[test]
    fn of_many_copies_those_with_few_buyers_come_first() {
        let words = Words::default();
        let cancel = AtomicBool::new(false);
        let control = Control::new(&|_| {}, &cancel);
        let settings = ContentSettings { neighbours: 3, ..ContentSettings::default() };
        for has_vectors in [false, true] {
            let mut corpus = Corpus::default();
            for idx in 0..20 {
                let vector = ("image".to_owned(), vec![1.0, 2.0].into());
                let embeddings = has_vectors.then_some(vector).into_iter().collect();
                let item = Item { title: "red mug".into(), embeddings, ..Item::default() };
                corpus.insert(idx, Document::of(&item, &words));
            }
            corpus.insert(
                20,
                Document::of(&Item { title: "chair".into(), ..Item::default() }, &words),
            );

            // The newest three have no buyers.
            let buyers: Vec<f32> = (0..21).map(|idx| if idx < 17 { 9.0 } else { 0.0 }).collect();
            let table = train(&corpus, &buyers, &settings, 1, &control).unwrap();
            let mut first = table.row(0).0.to_vec();
            first.sort_unstable();
            assert_eq!(first, [17, 18, 19], "vectors: {has_vectors}");
        }
    }
}
