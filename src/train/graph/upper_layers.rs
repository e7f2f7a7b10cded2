//! The upper layers of the nearest-neighbour graph, built by hnsw_rs over a sample of the items:
//! they bring a search near its target in a few steps. Its parallel build is not deterministic:
//! two trainings with one seed can differ in these layers, never in the vectors.

use hnsw_rs::hnsw::Hnsw;
use hnsw_rs::prelude::Distance;

use crate::domain::kernels::dot;
use crate::model::vectors::graph::{Layer, Vectors};

use crate::train::graph::base_layer::LinkOptions;

const MAX_LAYERS: usize = 16;

/// Inner products as a distance, 1 − ⟨x, y⟩, on vectors of norm at most 1.
#[derive(Clone, Copy)]
struct InnerProduct;

impl Distance<f32> for InnerProduct {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        // Rounding may take the product slightly past 1, and hnsw_rs asserts distances >= 0.
        (1.0 - dot(a, b)).max(0.0)
    }
}

/// Builds layers over `sample`, lowest first; returns them with the entry node.
pub fn build(vectors: Vectors<'_>, sample: &[u32], options: LinkOptions) -> (Vec<Layer>, u32) {
    let all = vectors.values.len() / vectors.dimensions;
    let graph = Hnsw::<f32, InnerProduct>::new(
        options.links,
        sample.len().max(1),
        MAX_LAYERS,
        options.candidates,
        InnerProduct,
    );

    let points: Vec<(&[f32], usize)> =
        sample.iter().map(|&n| (vectors.row(n), n as usize)).collect();
    graph.parallel_insert_slice(&points);

    let levels = usize::from(graph.get_max_level_observed()) + 1;
    let mut links: Vec<Vec<Vec<u32>>> = vec![vec![Vec::new(); all]; levels];
    let mut entry: Option<(usize, usize)> = None;
    for level in 0..levels {
        for point in graph.get_point_indexation().get_layer_iterator(level) {
            let node = point.get_origin_id();
            // The lowest id on the highest layer, so that the entry does not depend on timing.
            entry = match entry {
                Some((highest, lowest)) if highest == level => Some((level, lowest.min(node))),
                _ => Some((level, node)),
            };
            for (at, neighbours) in point.get_neighborhood_id().into_iter().enumerate() {
                if at <= level {
                    links[at][node] = neighbours.iter().map(|n| n.d_id as u32).collect();
                }
            }
        }
    }
    (links.into_iter().map(Layer::new).collect(), entry.map_or(0, |(_, node)| node as u32))
}
