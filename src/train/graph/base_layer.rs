//! Links every item into the base layer of the nearest-neighbour graph.
//!
//! Nodes come in batches: each is searched in what was linked before, on all cores, links to the
//! best found, and is linked back (batches that grow with the graph: Dobson et al., ParlayANN,
//! arXiv 2305.04359). The result does not depend on thread timing, so the same vectors and seed
//! give the same graph.
//!
//! Neighbours are selected as in HNSW (Malkov and Yashunin, arXiv 1603.09320): one that is nearer
//! to a selected neighbour than to the node is reached through that neighbour.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::domain::kernels::dot_here;
use crate::domain::progress::{Cancelled, Control};
use crate::domain::topk::Scored;
use crate::model::vectors::graph::{ExactScore, Layer, Links, SearchState, Vectors, best_first};

/// A batch is this fraction of the nodes linked before,
const GROWTH: usize = 16;
/// and at most this many.
const MAX_AT_ONCE: usize = 4_096;

/// Options of linking.
#[derive(Debug, Clone, Copy)]
pub struct LinkOptions {
    /// Links of a new node (M); at most twice that later.
    pub links: usize,
    /// Candidates examined when a node is linked (`ef_construction`).
    pub candidates: usize,
}

/// The layer while it grows: the same capacity for links at every node.
struct GrowingLayer {
    links: Vec<u32>,
    counts: Vec<u32>,
    max: usize,
}

impl Links for GrowingLayer {
    #[inline]
    fn links(&self, node: u32) -> &[u32] {
        let start = node as usize * self.max;
        &self.links[start..start + self.counts[node as usize] as usize]
    }
}

impl GrowingLayer {
    fn set(&mut self, node: u32, links: &[u32]) {
        let start = node as usize * self.max;
        self.links[start..start + links.len()].copy_from_slice(links);
        self.counts[node as usize] = links.len() as u32;
    }
}

/// Links `nodes`, the first of which is a valid entry for every search; `start` returns the entry
/// for a node, among those before it.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn link(
    vectors: Vectors<'_>,
    nodes: &[u32],
    start: impl Fn(u32) -> u32 + Sync,
    options: LinkOptions,
    control: &Control<'_>,
) -> Result<Layer, Cancelled> {
    let all = vectors.values.len() / vectors.dimensions;
    let max = 2 * options.links;
    let mut base = GrowingLayer { links: vec![0; all * max], counts: vec![0; all], max };
    let mut linked = nodes.len().min(1);
    while linked < nodes.len() {
        control.check()?;
        let batch = (linked / GROWTH).clamp(1, MAX_AT_ONCE).min(nodes.len() - linked);
        let new = &nodes[linked..linked + batch];
        linked += batch;
        let chosen: Vec<Vec<u32>> = new
            .par_iter()
            .map_init(SearchState::default, |search, &node| {
                let scorer = ExactScore { vectors, query: vectors.row(node) };
                best_first(
                    &scorer,
                    &base,
                    (start(node), &[]),
                    options.candidates,
                    &|_| true,
                    search,
                );
                choose(vectors, search.best(), options.links)
            })
            .collect();

        let mut back: Vec<(u32, u32)> = Vec::new();
        for (&node, links) in new.iter().zip(&chosen) {
            base.set(node, links);
            back.extend(links.iter().map(|&target| (target, node)));
        }

        back.par_sort_unstable();
        let targets: Vec<&[(u32, u32)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
        let relinked: Vec<Vec<u32>> = targets
            .par_iter()
            .map(|of_target| {
                let target = of_target[0].0;
                let old = base.links(target);
                let more = of_target.iter().map(|pair| pair.1);
                let mut links: Vec<u32> = old.iter().copied().chain(more).collect();
                if links.len() > max {
                    let mut near = scored(vectors, target, &links);
                    near.sort_unstable_by(Scored::best_first);
                    links = choose(vectors, &near, max);
                }
                links
            })
            .collect();
        targets.iter().zip(&relinked).for_each(|(target, links)| base.set(target[0].0, links));
    }
    Ok(Layer::new((0..all as u32).map(|node| base.links(node))))
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn scored(vectors: Vectors<'_>, of: u32, nodes: &[u32]) -> Vec<Scored> {
    let row = vectors.row(of);
    nodes.iter().map(|&idx| Scored { idx, score: dot_here(row, vectors.row(idx)) }).collect()
}

/// Selects at most `max` of the candidates, given best first, each nearer to their node than to any
/// candidate selected before.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn choose(vectors: Vectors<'_>, near: &[Scored], max: usize) -> Vec<u32> {
    let mut chosen: Vec<u32> = Vec::with_capacity(max);
    for candidate in near {
        let row = vectors.row(candidate.idx);
        if chosen.iter().all(|&other| dot_here(row, vectors.row(other)) < candidate.score) {
            chosen.push(candidate.idx);
            if chosen.len() == max {
                break;
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn nodes_link_to_what_is_near_in_every_direction() {
        // Points on a circle: each should link to both its neighbours.
        let around = 200u32;
        let values: Vec<f32> = (0..around)
            .map(|at| std::f32::consts::TAU * at as f32 / around as f32)
            .flat_map(|angle| [angle.cos(), angle.sin()])
            .collect();
        let vectors = Vectors { dimensions: 2, values: &values };

        // In a mixed order, since a circle inserted point by point has no shortcuts.
        let nodes: Vec<u32> = (0..around).map(|at| at * 77 % around).collect();
        let cancel = AtomicBool::new(false);
        let options = LinkOptions { links: 8, candidates: 32 };
        let control = Control::new(&|_| {}, &cancel);

        let layer = link(vectors, &nodes, |_| nodes[0], options, &control).unwrap();
        for node in 0..around {
            let before = (node + around - 1) % around;
            let after = (node + 1) % around;
            let links = layer.links(node);
            assert!(links.contains(&before) && links.contains(&after), "{node}: {links:?}");
            assert!(links.len() <= 2 * options.links && !links.contains(&node));
        }
        assert_eq!(link(vectors, &nodes, |_| nodes[0], options, &control).unwrap(), layer);
    }
}
