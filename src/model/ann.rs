//! Searching a frozen nearest-neighbour graph (HNSW: Malkov and Yashunin,
//! arXiv 1603.09320) for the largest inner products. The graph is built
//! elsewhere; here it is flat arrays: no pointers, no hashing, no locks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::embeddings::{Embeddings, dot};
use crate::domain::topk::Scored;

/// A frozen graph over the items of [`Embeddings`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ann {
    /// Where every search begins, on the highest layer.
    pub entry: u32,
    /// Layers from the lowest, which holds every node, to the highest.
    pub layers: Vec<Layer>,
    /// Items that the graph does not lead to: always scanned besides.
    pub side: Vec<u32>,
    /// Candidates kept while searching, unless more are asked for.
    pub ef: usize,
}

/// Links of one layer, node by node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layer {
    /// Node n links to `links[starts[n]..starts[n + 1]]`.
    pub starts: Vec<u32>,
    /// Targets of the links.
    pub links: Vec<u32>,
}

impl Layer {
    /// Nodes that a node links to.
    #[inline]
    pub fn links(&self, node: u32) -> &[u32] {
        let node = node as usize;
        &self.links[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

/// Reused between searches: which nodes were seen.
#[derive(Debug, Default)]
pub struct Visited {
    marks: Vec<u32>,
    epoch: u32,
}

impl Visited {
    fn begin(&mut self, nodes: usize) {
        if self.marks.len() < nodes {
            self.marks.resize(nodes, 0);
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.marks.fill(0);
            self.epoch = 1;
        }
    }

    /// Marks a node; false where it was marked before.
    #[inline]
    fn mark(&mut self, node: u32) -> bool {
        let mark = &mut self.marks[node as usize];
        std::mem::replace(mark, self.epoch) != self.epoch
    }
}

/// A node by its score, for heaps.
#[derive(PartialEq)]
struct ByScore(Scored);

impl Eq for ByScore {}
impl PartialOrd for ByScore {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ByScore {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        Scored::best_first(&other.0, &self.0)
    }
}

impl Embeddings {
    /// Nearly the best `k` items by inner product with `query`, best first.
    /// `ef` candidates are kept on the way: at least k and [`Ann::ef`].
    pub fn search(&self, query: &[f32], k: usize, ef: usize, visited: &mut Visited) -> Vec<Scored> {
        let Some((ground, upper)) = self.ann.layers.split_first() else { return Vec::new() };
        let score = |node: u32| Scored { idx: node, score: dot(query, self.vector(node)) };
        let mut nearest = score(self.ann.entry);
        for layer in upper.iter().rev() {
            while let Some(next) = layer
                .links(nearest.idx)
                .iter()
                .map(|&n| score(n))
                .min_by(Scored::best_first)
                .filter(|next| next.score > nearest.score)
            {
                nearest = next;
            }
        }
        visited.begin(self.items());
        let ef = ef.max(k).max(self.ann.ef);
        let mut found = beam(ground, nearest, ef, visited, score);
        found.extend(self.ann.side.iter().filter(|&&n| visited.mark(n)).map(|&n| score(n)));
        crate::domain::topk::keep_top(&mut found, k);
        found
    }
}

/// Best-first search on one layer, keeping the best `ef`.
fn beam(
    layer: &Layer,
    start: Scored,
    ef: usize,
    visited: &mut Visited,
    score: impl Fn(u32) -> Scored,
) -> Vec<Scored> {
    let mut open = BinaryHeap::from([ByScore(start)]);
    let mut kept = BinaryHeap::from([Reverse(ByScore(start))]);
    visited.mark(start.idx);
    while let Some(ByScore(node)) = open.pop() {
        let worst = kept.peek().map_or(f32::MIN, |Reverse(ByScore(s))| s.score);
        if kept.len() >= ef && node.score < worst {
            break;
        }
        for &link in layer.links(node.idx) {
            if !visited.mark(link) {
                continue;
            }
            let next = score(link);
            let worst = kept.peek().map_or(f32::MIN, |Reverse(ByScore(s))| s.score);
            if kept.len() < ef || next.score > worst {
                open.push(ByScore(next));
                kept.push(Reverse(ByScore(next)));
                if kept.len() > ef {
                    kept.pop();
                }
            }
        }
    }
    kept.into_iter().map(|Reverse(ByScore(s))| s).collect()
}
