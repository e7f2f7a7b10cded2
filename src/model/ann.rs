//! Searching a frozen nearest-neighbour graph (HNSW: Malkov and Yashunin,
//! arXiv 1603.09320) for the largest inner products. The graph is built
//! elsewhere; here it is flat arrays: no pointers, no hashing, no locks.

use multiversion::multiversion;

use super::embeddings::Embeddings;
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
pub struct Walk {
    /// Per node: the search that saw it last.
    seen: Vec<u32>,
    search: u32,
    /// The best nodes seen, best first.
    best: Vec<Scored>,
    /// Which of `best` were looked behind.
    done: Vec<bool>,
    /// Nodes just come upon.
    fresh: Vec<u32>,
}

impl Walk {
    fn begin(&mut self, nodes: usize) {
        if self.seen.len() < nodes {
            self.seen.resize(nodes, 0);
        }
        self.search = self.search.wrapping_add(1);
        if self.search == 0 {
            self.seen.fill(0);
            self.search = 1;
        }
        self.best.clear();
        self.done.clear();
    }

    /// Marks a node; false where it was marked before.
    #[inline(always)]
    fn mark(&mut self, node: u32) -> bool {
        let seen = &mut self.seen[node as usize];
        std::mem::replace(seen, self.search) != self.search
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

impl Embeddings {
    /// The vectors of all items.
    pub fn vectors(&self) -> Vectors<'_> {
        Vectors { dimensions: self.dimensions, values: &self.vectors }
    }

    /// Nearly the best `k` items by inner product with `query`, best first.
    /// `ef` candidates are kept on the way: at least k and [`Ann::ef`].
    pub fn search(&self, query: &[f32], k: usize, ef: usize, walk: &mut Walk) -> Vec<Scored> {
        let Some((ground, upper)) = self.ann.layers.split_first() else { return Vec::new() };
        let start = descend(self.vectors(), query, upper, self.ann.entry);
        let ef = ef.max(k).max(self.ann.ef);
        let side = &self.ann.side;
        if self.codes.is_empty() {
            let scorer = ExactScore { vectors: self.vectors(), query };
            best_first(&scorer, ground, start, ef, walk);
            look_beside(&scorer, side, ef, walk);
        } else {
            let scorer = self.codes.scorer(query);
            best_first(&scorer, ground, start, ef, walk);
            look_beside(&scorer, side, ef, walk);
        }
        let mut found = walk.best.clone();
        self.score_exactly(query, &mut found);
        keep_top(&mut found, k);
        found
    }
}

/// The best `k` nodes of `nodes`, best first.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn best_of<S: Score>(scorer: &S, nodes: impl Iterator<Item = u32>, k: usize) -> Vec<Scored> {
    let (mut threshold, mut best) = (Threshold::new(k), Vec::new());
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
fn look_beside<S: Score>(scorer: &S, side: &[u32], ef: usize, walk: &mut Walk) {
    for &idx in side {
        if walk.mark(idx) {
            walk.offer(Scored { idx, score: scorer.score(idx) }, ef);
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
    walk: &'w mut Walk,
) -> &'w [Scored] {
    walk.begin(scorer.nodes());
    walk.mark(start);
    walk.offer(Scored { idx: start, score: scorer.score(start) }, ef);
    let mut at = 0;
    while at < walk.best.len() {
        if std::mem::replace(&mut walk.done[at], true) {
            at += 1;
            continue;
        }
        let mut fresh = std::mem::take(&mut walk.fresh);
        fresh.clear();
        fresh.extend(layer.links(walk.best[at].idx).iter().filter(|&&node| walk.mark(node)));
        // What lies before the first newcomer has been looked behind.
        let mut first = at + 1;
        for &idx in &fresh {
            let score = scorer.score(idx);
            if let Some(place) = walk.offer(Scored { idx, score }, ef) {
                first = first.min(place);
            }
        }
        walk.fresh = fresh;
        at = first;
    }
    &walk.best
}
