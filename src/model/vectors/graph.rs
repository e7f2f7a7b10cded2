//! Searches a frozen nearest-neighbour graph (HNSW: Malkov and Yashunin, arXiv 1603.09320) for the
//! largest inner products. The graph is stored in flat arrays: no pointers, no hashing, no locks.

use multiversion::multiversion;

use crate::domain::kernels::{dot, dot_here};
use crate::domain::topk::{Scored, Threshold, keep_top};

/// A frozen graph over the items of [`crate::model::Embeddings`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ann {
    /// The entry point of every search, on the highest layer.
    pub entry: u32,
    /// Layers from the base layer, which has every node, to the highest.
    pub layers: Vec<Layer>,
    /// Items that no path leads to: scanned by every search.
    pub side: Vec<u32>,
    /// Candidates kept during a search (ef), unless more are asked for.
    pub ef: usize,
}

/// The links of one layer.
pub trait Links {
    /// The nodes that a node links to.
    fn links(&self, node: u32) -> &[u32];
}

/// The links of one layer, node by node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layer {
    /// Node n links to `links[starts[n]..starts[n + 1]]`.
    pub starts: Vec<u32>,
    /// Targets of the links.
    pub links: Vec<u32>,
}

impl Layer {
    /// A layer from the links of every node, in order.
    pub fn new(nodes: impl IntoIterator<Item = impl AsRef<[u32]>>) -> Self {
        let mut layer = Self { starts: vec![0], links: Vec::new() };
        for links in nodes {
            layer.links.extend_from_slice(links.as_ref());
            layer.starts.push(layer.links.len() as u32);
        }
        layer
    }
}

impl Links for Layer {
    #[inline]
    fn links(&self, node: u32) -> &[u32] {
        let node = node as usize;
        &self.links[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

/// Vectors of equal length, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Vectors<'a> {
    /// Dimensions of a vector.
    pub dimensions: usize,
    /// All values.
    pub values: &'a [f32],
}

impl Vectors<'_> {
    /// A vector.
    #[inline(always)]
    pub fn row(&self, node: u32) -> &[f32] {
        let start = node as usize * self.dimensions;
        &self.values[start..start + self.dimensions]
    }
}

/// The similarity of a node to the query.
pub trait Score {
    /// Number of nodes.
    fn nodes(&self) -> usize;
    /// Higher is nearer.
    fn score(&self, node: u32) -> f32;
}

/// A query against exact vectors.
#[derive(Debug, Clone, Copy)]
pub struct ExactScore<'a> {
    /// The vectors.
    pub vectors: Vectors<'a>,
    /// The query.
    pub query: &'a [f32],
}

impl Score for ExactScore<'_> {
    fn nodes(&self) -> usize {
        self.vectors.values.len() / self.vectors.dimensions
    }

    #[inline(always)]
    fn score(&self, node: u32) -> f32 {
        dot_here(self.query, self.vectors.row(node))
    }
}

/// Working memory of a search, reused between searches.
#[derive(Debug, Default)]
pub struct SearchState {
    /// Per node: the epoch of the search that visited it last.
    visited: Vec<u32>,
    epoch: u32,
    /// The best nodes found, best first.
    pub(super) best: Vec<Scored>,
    /// Which of `best` were expanded.
    done: Vec<bool>,
    /// Neighbours found by the current expansion.
    fresh: Vec<u32>,
}

impl SearchState {
    fn begin(&mut self, nodes: usize) {
        if self.visited.len() < nodes {
            self.visited.resize(nodes, 0);
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.visited.fill(0);
            self.epoch = 1;
        }
        self.best.clear();
        self.done.clear();
    }

    /// Marks a node as visited; false if it was visited before.
    #[inline(always)]
    fn mark(&mut self, node: u32) -> bool {
        let visited = &mut self.visited[node as usize];
        std::mem::replace(visited, self.epoch) != self.epoch
    }

    /// Inserts a node among the best `ef`; returns its position, if it has one.
    #[inline(always)]
    fn offer(&mut self, node: Scored, ef: usize) -> Option<usize> {
        if self.best.len() == ef {
            if self.best.last().is_some_and(|worst| node.score <= worst.score) {
                return None;
            }
            self.best.pop();
            self.done.pop();
        }
        let place = self.best.partition_point(|s| Scored::best_first(s, &node).is_lt());
        self.best.insert(place, node);
        self.done.insert(place, false);
        Some(place)
    }
}

/// The best `k` nodes of `nodes`, best first.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn best_of<S: Score>(scorer: &S, nodes: impl Iterator<Item = u32>, k: usize) -> Vec<Scored> {
    let mut threshold = Threshold::new(k);
    let mut best = Vec::new();
    for idx in nodes {
        threshold.push(&mut best, Scored { idx, score: scorer.score(idx) });
    }
    keep_top(&mut best, k);
    best
}

/// Descends the upper layers greedily, from the highest; returns the entry of the base layer.
pub fn descend(vectors: Vectors<'_>, query: &[f32], upper: &[Layer], entry: u32) -> u32 {
    let score = |node: u32| Scored { idx: node, score: dot(query, vectors.row(node)) };
    let mut nearest = score(entry);
    for layer in upper.iter().rev() {
        let best =
            |from: u32| layer.links(from).iter().map(|&n| score(n)).min_by(Scored::best_first);
        while let Some(next) = best(nearest.idx).filter(|next| next.score > nearest.score) {
            nearest = next;
        }
    }
    nearest.idx
}

/// Offers the items of the side list to a finished search.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
pub(super) fn look_beside<S: Score>(scorer: &S, side: &[u32], ef: usize, search: &mut SearchState) {
    for &idx in side {
        if search.mark(idx) {
            search.offer(Scored { idx, score: scorer.score(idx) }, ef);
        }
    }
}

/// Best-first search on one layer from `start`: the best `ef` nodes, best first.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn best_first<'w, S: Score, L: Links>(
    scorer: &S,
    layer: &L,
    start: u32,
    ef: usize,
    search: &'w mut SearchState,
) -> &'w [Scored] {
    search.begin(scorer.nodes());
    search.mark(start);
    search.offer(Scored { idx: start, score: scorer.score(start) }, ef);

    let mut at = 0;
    while at < search.best.len() {
        if std::mem::replace(&mut search.done[at], true) {
            at += 1;
            continue;
        }

        let mut fresh = std::mem::take(&mut search.fresh);
        fresh.clear();
        fresh.extend(layer.links(search.best[at].idx).iter().filter(|&&node| search.mark(node)));

        // Nodes before the first new one have been expanded.
        let mut first = at + 1;
        for &idx in &fresh {
            let score = scorer.score(idx);
            if let Some(place) = search.offer(Scored { idx, score }, ef) {
                first = first.min(place);
            }
        }

        search.fresh = fresh;
        at = first;
    }
    &search.best
}
