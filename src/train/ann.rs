//! Builds the nearest-neighbour graph with hnsw_rs, freezes it into flat
//! arrays, and checks that it finds what an exact scan finds.
//!
//! Inner products are searched as the distance 1 − ⟨x, y⟩ on vectors of norm at
//! most 1. hnsw_rs can leave points that no path leads to (its issue 37), so
//! every item is looked up by its own vector afterwards, and the ground layer is
//! walked whole; the misses go into a side list that every search scans. Its parallel build is not deterministic:
//! two trainings with one seed can differ in the graph, never in the vectors.

use hnsw_rs::hnsw::Hnsw;
use hnsw_rs::prelude::Distance;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use super::TrainError;
use crate::domain::progress::{Cancelled, Control};
use crate::model::ann::{Layer, Visited};
use crate::model::embeddings::dot;
use crate::model::settings::EmbeddingSettings;
use crate::model::{Ann, Embeddings};

/// A graph below this recall at 10 is not published.
const REQUIRED_RECALL: f64 = 0.95;
/// Recall at 10 that the search depth is chosen for.
const WANTED_RECALL: f64 = 0.99;
/// Search depths tried, in order.
const DEPTHS: [usize; 5] = [32, 64, 128, 256, 512];
/// Queries compared with an exact scan.
const CHECKS: usize = 500;
/// Neighbours looked for in every check.
const CHECK_K: usize = 10;
const MAX_LAYERS: usize = 16;
/// Points inserted between two looks at whether to stop.
const INSERT_CHUNK: usize = 20_000;

#[derive(Clone, Copy)]
struct InnerProduct;

impl Distance<f32> for InnerProduct {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        // Rounding may take the product a hair past 1, and hnsw_rs asserts distances >= 0.
        (1.0 - dot(a, b)).max(0.0)
    }
}

/// Builds the graph over `embeddings` and chooses its search depth. Returns its
/// recall at 10 against an exact scan.
///
/// # Errors
/// [`TrainError::Recall`] where no depth reaches the required recall.
pub fn build(
    embeddings: &mut Embeddings,
    settings: &EmbeddingSettings,
    seed: u64,
    control: &Control<'_>,
) -> Result<f64, TrainError> {
    embeddings.ann = freeze(embeddings, settings, control)?;
    for ef in DEPTHS {
        embeddings.ann.ef = ef;
        embeddings.ann.side = missed(embeddings);
        let recall = recall(embeddings, seed);
        if recall >= WANTED_RECALL || (ef == DEPTHS[DEPTHS.len() - 1] && recall >= REQUIRED_RECALL)
        {
            return Ok(recall);
        }
        if ef == DEPTHS[DEPTHS.len() - 1] {
            return Err(TrainError::Recall { recall, required: REQUIRED_RECALL });
        }
    }
    unreachable!("the loop returns at its last depth")
}

/// Items with a vector.
fn nodes(embeddings: &Embeddings) -> Vec<u32> {
    (0..embeddings.items() as u32).filter(|&i| embeddings.fold_in[i as usize] > 0.0).collect()
}

fn freeze(
    embeddings: &Embeddings,
    settings: &EmbeddingSettings,
    control: &Control<'_>,
) -> Result<Ann, Cancelled> {
    let nodes = nodes(embeddings);
    let graph = Hnsw::<f32, InnerProduct>::new(
        settings.links,
        nodes.len().max(1),
        MAX_LAYERS,
        settings.ef_construction,
        InnerProduct,
    );
    let points: Vec<(&[f32], usize)> =
        nodes.iter().map(|&n| (embeddings.vector(n), n as usize)).collect();
    for chunk in points.chunks(INSERT_CHUNK) {
        control.check()?;
        graph.parallel_insert_slice(&chunk.to_vec());
    }

    let levels = usize::from(graph.get_max_level_observed()) + 1;
    let mut links: Vec<Vec<Vec<u32>>> = vec![vec![Vec::new(); embeddings.items()]; levels];
    let mut entry = (0, 0);
    for level in 0..levels {
        for point in graph.get_point_indexation().get_layer_iterator(level) {
            let node = point.get_origin_id();
            // The lowest id on the highest layer, so that the entry does not depend on order.
            if level > entry.0 || entry.1 == 0 {
                entry = (level, node + 1);
            } else if level == entry.0 {
                entry.1 = entry.1.min(node + 1);
            }
            for (at, neighbours) in point.get_neighborhood_id().into_iter().enumerate() {
                if at <= level {
                    links[at][node] = neighbours.iter().map(|n| n.d_id as u32).collect();
                }
            }
        }
    }
    let layers = links.into_iter().map(flatten).collect();
    Ok(Ann { entry: entry.1.saturating_sub(1) as u32, layers, side: Vec::new(), ef: DEPTHS[0] })
}

fn flatten(nodes: Vec<Vec<u32>>) -> Layer {
    let mut layer = Layer { starts: vec![0], links: Vec::new() };
    for links in nodes {
        layer.links.extend(links);
        layer.starts.push(layer.links.len() as u32);
    }
    layer
}

/// Items that no path leads to, and items that a search for their own vector
/// should find among its best and does not. (By inner product an item need not
/// be among the best for its own vector; such items only the walk can vouch for.)
fn missed(embeddings: &Embeddings) -> Vec<u32> {
    let reached = reached(&embeddings.ann, embeddings.items());
    nodes(embeddings)
        .into_par_iter()
        .map_init(Visited::default, |visited, node| {
            let query = embeddings.vector(node);
            let found = embeddings.search(query, CHECK_K, embeddings.ann.ef, visited);
            let own = dot(query, query);
            let belongs = found.len() < CHECK_K || found.iter().any(|s| s.score < own);
            let lost = belongs && found.iter().all(|s| s.idx != node);
            (lost || !reached[node as usize]).then_some(node)
        })
        .flatten()
        .collect()
}

/// Which nodes a walk over the ground layer reaches from the entry.
fn reached(ann: &Ann, items: usize) -> Vec<bool> {
    let mut reached = vec![false; items];
    let Some(ground) = ann.layers.first() else { return reached };
    let mut open = vec![ann.entry];
    reached[ann.entry as usize] = true;
    while let Some(node) = open.pop() {
        for &link in ground.links(node) {
            if !std::mem::replace(&mut reached[link as usize], true) {
                open.push(link);
            }
        }
    }
    reached
}

/// Mean share of the exact best ten that the graph finds, for queries that mix
/// three random items, as shoppers do.
fn recall(embeddings: &Embeddings, seed: u64) -> f64 {
    let nodes = nodes(embeddings);
    if nodes.is_empty() {
        return 1.0;
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let queries: Vec<Vec<f32>> = (0..CHECKS)
        .map(|_| {
            let mut query = vec![0.0; embeddings.dimensions];
            for _ in 0..3 {
                embeddings.fold_in(nodes[rng.random_range(0..nodes.len())], 1.0, &mut query);
            }
            query
        })
        .collect();
    let shares: Vec<f64> = queries
        .par_iter()
        .map_init(Visited::default, |visited, query| {
            let exact = embeddings.scan(query, nodes.iter().copied(), CHECK_K);
            let found = embeddings.search(query, CHECK_K, embeddings.ann.ef, visited);
            let worst = exact.last().map_or(f32::MIN, |s| s.score);
            // By score and not by id, so that ties are no misses.
            found.iter().filter(|s| s.score >= worst).count() as f64 / exact.len().max(1) as f64
        })
        .collect();
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
        let recall = build(&mut embeddings, &settings, 3, &control).unwrap();
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
        let mut visited = Visited::default();
        let found = embeddings.search(embeddings.vector(5), 3_000, 3_000, &mut visited);
        assert!(found.iter().all(|s| s.idx != 1), "an item without interactions has no place");
    }

    #[test]
    fn what_no_path_leads_to_is_found_by_the_side_list() {
        let (vectors, fold_in) = random(500, 8);
        let (mut embeddings, _) = built(vectors, fold_in, 8);
        // Cut item 7 off: no node links to it any more.
        for layer in &mut embeddings.ann.layers {
            let kept: Vec<Vec<u32>> = (0..500)
                .map(|n| layer.links(n).iter().copied().filter(|&l| l != 7).collect())
                .collect();
            *layer = flatten(kept);
        }
        embeddings.ann.entry = embeddings.ann.layers[0].links(7)[0];
        embeddings.ann.layers.truncate(1);
        embeddings.ann.side.clear();
        let mut visited = Visited::default();
        let query: Vec<f32> = embeddings.vector(7).iter().map(|x| x * 2.0).collect();
        let exact = embeddings.scan(&query, 0..500, 500);
        assert!(embeddings.search(&query, 500, 500, &mut visited).iter().all(|s| s.idx != 7));
        embeddings.ann.side = missed(&embeddings);
        assert!(embeddings.ann.side.contains(&7));
        assert_eq!(embeddings.search(&query, 500, 500, &mut visited), exact);
    }

    #[test]
    fn one_item_is_a_graph_too() {
        let (vectors, fold_in) = random(1, 8);
        let (embeddings, recall) = built(vectors, fold_in, 8);
        assert_eq!(recall, 1.0);
        let found = embeddings.search(embeddings.vector(0), 5, 5, &mut Visited::default());
        assert_eq!(found.len(), 1);
    }
}
