//! Searching a frozen nearest-neighbour graph (HNSW: Malkov and Yashunin,
//! arXiv 1603.09320) for the largest inner products. The graph is built
//! elsewhere; here it is flat arrays: no pointers, no hashing, no locks.

use multiversion::multiversion;

use crate::domain::kernels::{dot, dot_here};
use crate::domain::topk::{Scored, Threshold, keep_top};

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

/// Who links to whom on one layer of a graph.
pub trait Links {
    /// Nodes that a node links to.
    fn links(&self, node: u32) -> &[u32];
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
    /// From the links of every node, in order.
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
    /// Length of each.
    pub dimensions: usize,
    /// All of them.
    pub values: &'a [f32],
}

impl Vectors<'_> {
    /// One of them.
    #[inline(always)]
    pub fn row(&self, node: u32) -> &[f32] {
        let start = node as usize * self.dimensions;
        &self.values[start..start + self.dimensions]
    }
}

/// What says how near a node is to what is looked for.
pub trait Score {
    /// Number of nodes.
    fn nodes(&self) -> usize;
    /// Higher is nearer.
    fn score(&self, node: u32) -> f32;
}

/// A query against vectors as they are.
#[derive(Debug, Clone, Copy)]
pub struct ExactScore<'a> {
    /// The vectors.
    pub vectors: Vectors<'a>,
    /// What is looked for.
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

/// Memory of searches, reused between them.
#[derive(Debug, Default)]
pub struct SearchState {
    /// Per node: the epoch of the search that visited it last.
    visited: Vec<u32>,
    epoch: u32,
    /// The best nodes seen, best first.
    pub(super) best: Vec<Scored>,
    /// Which of `best` were looked behind.
    done: Vec<bool>,
    /// Nodes just come upon.
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

    /// Marks a node; false where it was marked before.
    #[inline(always)]
    fn mark(&mut self, node: u32) -> bool {
        let visited = &mut self.visited[node as usize];
        std::mem::replace(visited, self.epoch) != self.epoch
    }

    /// Puts a node in its place among the best `ef`; where that is, if it has one.
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

/// Down the upper layers, from the highest, always to the best neighbour.
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

/// Offers to a finished search what no path leads to.
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

        // What lies before the first newcomer has been looked behind.
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
