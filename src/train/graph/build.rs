//! Builds the nearest-neighbour graph: a base layer that links all items, upper layers that lead
//! there, and a check against an exact scan.
//!
//! Links are pruned where a node has too many, which can leave nodes without a path. So every item
//! is searched by its own vector afterwards, and the base layer is traversed; items that are not
//! found go into a side list that every search scans.

use std::collections::HashSet;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use crate::domain::kernels::dot;
use crate::domain::progress::{Cancelled, Control};
use crate::model::settings::EmbeddingSettings;
use crate::model::vectors::graph::{self, ExactScore, Layer, Links, SearchState, Vectors};
use crate::model::{Ann, Embeddings};
use crate::train::graph::base_layer::{self, LinkOptions};
use crate::train::graph::upper_layers;

/// Minimum recall at 10 of a graph that is used.
pub const REQUIRED_RECALL: f64 = 0.95;
/// Target recall at 10 of the search depth.
const WANTED_RECALL: f64 = 0.99;
/// Search depths tried, in order.
const DEPTHS: [usize; 5] = [32, 64, 128, 256, 512];
/// Depth at which every item is searched by its own vector.
const LOOK_UP_DEPTH: usize = 256;
/// Queries compared with an exact scan.
const CHECKS: usize = 500;
/// Neighbours per query.
const CHECK_K: usize = 10;
/// Share of items in the upper layers: 1/32.
const UPPER_LAYER_SHARE: usize = 32;

/// An even choice of those of `count` vectors that a graph is checked with.
pub fn checked(count: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by(count.div_ceil(CHECKS).max(1))
}

/// Builds the graph over `embeddings` and chooses its search depth. Returns its recall at 10
/// against an exact scan, for `queries`, or where there are none for mixtures of items. Below
/// [`REQUIRED_RECALL`], embeddings are scanned and have no graph: of a million items bought once
/// each, most vectors coincide, and links cannot reach all of them.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn build(
    embeddings: &mut Embeddings,
    settings: &EmbeddingSettings,
    queries: Vec<Vec<f32>>,
    seed: u64,
    control: &Control<'_>,
) -> Result<f64, Cancelled> {
    embeddings.ann = graph(embeddings, settings, seed, control)?;
    embeddings.encode();
    let recall = check(embeddings, queries, seed);
    keep_if_found(embeddings, recall);
    Ok(recall)
}

/// Links the items as an earlier graph did, whose vectors were nearly the same, and chooses the search
/// depth anew; items that have no vector any more leave it. Returns the recall; none where that is
/// below [`REQUIRED_RECALL`] or there is no such graph, and a new one must be built.
pub fn link_again(
    embeddings: &mut Embeddings,
    earlier: Option<&Embeddings>,
    queries: &[Vec<f32>],
    seed: u64,
) -> Option<f64> {
    let earlier = earlier.filter(|earlier| !earlier.ann.is_empty())?;
    let is_linked = |item: u32| !earlier.has(item) || embeddings.has(item);
    let all = 0..embeddings.items() as u32;
    let has_all = all.clone().all(|item| !embeddings.has(item) || earlier.has(item));
    if earlier.items() != embeddings.items() || !has_all || !is_linked(earlier.ann.entry) {
        return None;
    }

    let layers = earlier.ann.layers.iter().map(|layer| {
        Layer::new(all.clone().map(|node| {
            let links = if is_linked(node) { layer.links(node) } else { &[] };
            links.iter().copied().filter(|&link| is_linked(link)).collect::<Vec<_>>()
        }))
    });
    embeddings.ann = Ann { entry: earlier.ann.entry, layers: layers.collect(), ..Ann::default() };
    embeddings.encode();
    let recall = check(embeddings, queries.to_vec(), seed);
    (recall >= REQUIRED_RECALL).then_some(recall)
}

fn keep_if_found(embeddings: &mut Embeddings, recall: f64) {
    if recall < REQUIRED_RECALL {
        tracing::warn!(
            recall,
            REQUIRED_RECALL,
            "the ann graph has too little recall; embeddings are scanned"
        );
        embeddings.ann = Ann::default();
        embeddings.encode();
    }
}

/// Chooses the search depth and the side list; returns the recall at 10 against an exact scan.
fn check(embeddings: &mut Embeddings, mut queries: Vec<Vec<f32>>, seed: u64) -> f64 {
    embeddings.ann.ef = LOOK_UP_DEPTH;
    embeddings.set_side(missed(embeddings));

    // Of nothing, everything is as near.
    queries.retain(|query| query.iter().any(|x| *x != 0.0));
    if queries.is_empty() {
        queries = mixtures(embeddings, seed);
    }
    let queries: Vec<ExactQuery> =
        queries.into_par_iter().map(|query| exact(embeddings, query)).collect();
    let mut reached = 0.0;
    for ef in DEPTHS {
        embeddings.ann.ef = ef;
        reached = recall(embeddings, &queries);
        if reached >= WANTED_RECALL {
            break;
        }
    }
    reached
}

/// Items with a vector.
fn nodes(embeddings: &Embeddings) -> Vec<u32> {
    (0..embeddings.items() as u32).filter(|&i| embeddings.fold_in[i as usize] > 0.0).collect()
}

/// Builds the graph without checking it.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn graph(
    embeddings: &Embeddings,
    settings: &EmbeddingSettings,
    seed: u64,
    control: &Control<'_>,
) -> Result<Ann, Cancelled> {
    let options = LinkOptions { links: settings.links, candidates: settings.ef_construction };
    let directions = directions(embeddings);
    let vectors = Vectors { dimensions: embeddings.dimensions, values: &directions };
    let mut nodes = nodes(embeddings);
    nodes.shuffle(&mut StdRng::seed_from_u64(seed));
    let sample = nodes.len().div_ceil(UPPER_LAYER_SHARE);

    let (layers, entry) = upper_layers::build(vectors, &nodes[..sample], options);
    if let Some(first) = nodes.iter().position(|&node| node == entry) {
        nodes.swap(0, first);
    }

    // The sample is linked first, by searches from the entry; the upper layers then lead to linked
    // nodes only.
    let sampled: HashSet<u32> = nodes[..sample].iter().copied().collect();
    let start = |node: u32| {
        if sampled.contains(&node) {
            entry
        } else {
            let scorer = ExactScore { vectors, query: vectors.row(node) };
            graph::descend(&scorer, &layers, entry)
        }
    };

    let base = base_layer::link(vectors, &nodes, start, options, control)?;
    let layers = std::iter::once(base).chain(layers).collect();
    Ok(Ann { entry, layers, ..Ann::default() })
}

/// All vectors scaled to length 1. By inner product a few long vectors are the nearest of all
/// others, and most items of none; linked by direction, all can be reached.
fn directions(embeddings: &Embeddings) -> Vec<f32> {
    let mut values = embeddings.vectors.clone();
    for row in values.chunks_exact_mut(embeddings.dimensions) {
        let length = dot(row, row).sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|x| *x /= length);
        }
    }
    values
}

/// Items without a path, and items that a search for their own vector should find among its best
/// and does not. (By inner product an item need not be among the best for its own vector; for such
/// items only the traversal decides.)
fn missed(embeddings: &Embeddings) -> Vec<u32> {
    let reached = reached(&embeddings.ann, embeddings.items());
    nodes(embeddings)
        .into_par_iter()
        .map_init(SearchState::default, |search, node| {
            let query = embeddings.vector(node);
            let found = embeddings.search(query, CHECK_K, search);
            let own = dot(query, query);
            let belongs = found.len() < CHECK_K || found.iter().any(|s| s.score < own);
            let lost = belongs && found.iter().all(|s| s.idx != node);
            (lost || !reached[node as usize]).then_some(node)
        })
        .flatten()
        .collect()
}

/// The nodes that a traversal of the base layer reaches from the entry.
fn reached(ann: &Ann, items: usize) -> Vec<bool> {
    let mut reached = vec![false; items];
    let Some(base) = ann.layers.first() else { return reached };
    let mut open = vec![ann.entry];
    reached[ann.entry as usize] = true;

    while let Some(node) = open.pop() {
        for &link in base.links(node) {
            if !std::mem::replace(&mut reached[link as usize], true) {
                open.push(link);
            }
        }
    }
    reached
}

/// A query, and the last score of its exact result.
type ExactQuery = (Vec<f32>, f32);

fn exact(embeddings: &Embeddings, query: Vec<f32>) -> ExactQuery {
    let found = embeddings.scan(&query, 0..embeddings.items() as u32, CHECK_K);
    let worst = found.last().map_or(f32::MIN, |s| s.score);
    (query, worst)
}

/// Vectors that mix an item and two that it links to.
fn mixtures(embeddings: &Embeddings, seed: u64) -> Vec<Vec<f32>> {
    let nodes = nodes(embeddings);
    if nodes.is_empty() {
        return Vec::new();
    }

    let mut rng = StdRng::seed_from_u64(seed);
    let items = (0..CHECKS).map(|_| nodes[rng.random_range(0..nodes.len())]);
    let mixture = |item: u32| {
        let mut query = vec![0.0; embeddings.dimensions];
        let linked = embeddings.ann.layers.first().map_or(&[][..], |g| g.links(item));
        for node in linked.iter().copied().take(2).chain([item]) {
            embeddings.fold_in(node, 1.0, &mut query);
        }
        query
    };
    items.map(mixture).collect()
}

/// Mean share of the exact results that the graph finds. By score and not by id, so that ties count
/// as found.
fn recall(embeddings: &Embeddings, queries: &[ExactQuery]) -> f64 {
    if queries.is_empty() {
        return 1.0;
    }
    let max = CHECK_K.min(nodes(embeddings).len()).max(1);
    let share = |search: &mut SearchState, (query, worst): &ExactQuery| {
        let found = embeddings.search(query, CHECK_K, search);
        found.iter().filter(|s| s.score >= *worst).count() as f64 / max as f64
    };
    let shares: Vec<f64> = queries.par_iter().map_init(SearchState::default, share).collect();
    shares.iter().sum::<f64>() / shares.len() as f64
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    fn built(vectors: Vec<f32>, fold_in: Vec<f32>, dimensions: usize) -> (Embeddings, f64) {
        let settings = EmbeddingSettings { dimensions, ..Default::default() };
        let cancel = AtomicBool::new(false);
        let mut embeddings = Embeddings { dimensions, vectors, fold_in, ..Default::default() };
        let control = Control::new(&|_| {}, &cancel);
        let recall = build(&mut embeddings, &settings, Vec::new(), 3, &control).unwrap();
        (embeddings, recall)
    }

    fn random(items: usize, dimensions: usize) -> (Vec<f32>, Vec<f32>) {
        let mut rng = StdRng::seed_from_u64(1);
        let mut vectors: Vec<f32> =
            (0..items * dimensions).map(|_| StandardNormal.sample(&mut rng)).collect();
        let longest = vectors.chunks(dimensions).map(|v| dot(v, v).sqrt()).fold(0.0, f32::max);
        vectors.iter_mut().for_each(|x| *x /= longest);
        (vectors, vec![1.0; items])
    }

    #[test]
    fn finds_what_an_exact_scan_finds() {
        let (mut vectors, mut fold_in) = random(3_000, 16);
        vectors[16..32].fill(0.0);
        fold_in[1] = 0.0;
        let (embeddings, recall) = built(vectors, fold_in, 16);
        assert!(recall >= WANTED_RECALL, "{recall}");

        let mut search = SearchState::default();
        let found = embeddings.search(embeddings.vector(5), 3_000, &mut search);
        assert!(found.iter().all(|s| s.idx != 1), "an item without interactions has no place");
    }

    #[test]
    fn finds_what_is_allowed_through_what_is_not() {
        let (vectors, fold_in) = random(3_000, 16);
        let (embeddings, _) = built(vectors, fold_in, 16);
        let mut search = SearchState::default();
        for every in [2, 5] {
            let allows = |item: u32| item % every == 1;
            let mut found = 0;
            for query in (0..100).map(|item| embeddings.vector(item)) {
                let exact = embeddings.scan(query, (0..3_000).filter(|&item| allows(item)), 10);
                let list = embeddings.search_among(query, 10, allows, &mut search);
                assert_eq!(list.len(), 10, "of {every} one");
                assert!(list.iter().all(|s| allows(s.idx)), "of {every} one");
                found += list.iter().filter(|s| exact.contains(s)).count();
            }
            assert!(found >= 950, "of {every} one: {found}");
        }

        // What is allowed lies together, mostly far from what is asked for.
        let mut first: Vec<f32> = (0..3_000).map(|item| embeddings.vector(item)[0]).collect();
        first.sort_unstable_by(f32::total_cmp);
        let allows = |item: u32| embeddings.vector(item)[0] > first[2_400];
        let mut found = 0;
        for query in (0..100).map(|item| embeddings.vector(item)) {
            let exact = embeddings.scan(query, (0..3_000).filter(|&item| allows(item)), 10);
            let list = embeddings.search_among(query, 10, allows, &mut search);
            assert!(list.iter().all(|s| allows(s.idx)));
            found += list.iter().filter(|s| exact.contains(s)).count();
        }
        assert!(found >= 900, "{found}");
        assert!(
            embeddings.search_among(embeddings.vector(0), 10, |_| false, &mut search).is_empty()
        );
    }

    #[test]
    fn what_no_path_leads_to_is_found_by_the_side_list() {
        let (vectors, fold_in) = random(500, 8);
        let (mut embeddings, _) = built(vectors, fold_in, 8);
        // Cuts item 7 off: no node links to it any more.
        for layer in &mut embeddings.ann.layers {
            let kept: Vec<Vec<u32>> = (0..500)
                .map(|n| layer.links(n).iter().copied().filter(|&l| l != 7).collect())
                .collect();
            *layer = Layer::new(kept);
        }

        embeddings.ann.entry = embeddings.ann.layers[0].links(7)[0];
        embeddings.ann.layers.truncate(1);
        embeddings.ann.side.clear();
        embeddings.encode();
        let mut search = SearchState::default();
        let query: Vec<f32> = embeddings.vector(7).iter().map(|x| x * 2.0).collect();
        let exact = embeddings.scan(&query, 0..500, 500);
        assert!(embeddings.search(&query, 500, &mut search).iter().all(|s| s.idx != 7));
        embeddings.set_side(missed(&embeddings));
        assert!(embeddings.ann.side.contains(&7));
        assert_eq!(embeddings.search(&query, 500, &mut search), exact);
    }

    #[test]
    fn a_graph_that_finds_too_little_is_not_used() {
        let (vectors, fold_in) = random(100, 8);
        let (mut embeddings, recall) = built(vectors, fold_in, 8);
        keep_if_found(&mut embeddings, recall);
        assert!(!embeddings.ann.layers.is_empty());
        keep_if_found(&mut embeddings, REQUIRED_RECALL - 0.01);
        assert!(embeddings.ann.layers.is_empty());
    }

    #[test]
    fn one_item_is_a_graph_too() {
        let (vectors, fold_in) = random(1, 8);
        let (embeddings, recall) = built(vectors, fold_in, 8);
        assert_eq!(recall, 1.0);
        let mut search = SearchState::default();
        assert_eq!(embeddings.search(embeddings.vector(0), 5, &mut search).len(), 1);
        assert!(embeddings.is_exhausted(&search), "a scan would find no more");
    }
}
