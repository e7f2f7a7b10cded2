//! Searches a frozen nearest-neighbour graph (HNSW: Malkov and Yashunin, arXiv 1603.09320) for the
//! largest inner products. The graph is stored in flat arrays: no pointers, no hashing, no locks.

use multiversion::multiversion;

use crate::domain::kernels::dot_here;
use crate::domain::topk::{Scored, Threshold, keep_top};

/// New allowed neighbours at which an expansion looks no further through forbidden ones,
const ENOUGH: usize = 8;
/// and forbidden nodes that it goes through, at most.
const WAYS: usize = 64;

/// A frozen graph over the items of [`crate::model::Embeddings`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ann {
    /// The entry point of every search, on the highest layer.
    pub entry: u32,
    /// Layers from the base layer, which has every node, to the highest.
    pub layers: Vec<Layer>,
    /// Items that no path leads to: searches look at them beside the graph.
    pub side: Vec<u32>,
    /// Candidates kept during a search (ef), unless more are asked for.
    pub ef: usize,
}

impl Ann {
    /// Whether there is no graph.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
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
    /// Higher is nearer.
    fn score(&self, node: u32) -> f32;
}

/// The similarity of the nodes of a graph.
pub trait GraphScore: Score {
    /// Number of nodes.
    fn nodes(&self) -> usize;
    /// Reads a little of what a score needs, so that the rest of it is on its way; the value means
    /// nothing.
    fn touch(&self, node: u32) -> u32;
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
    #[inline(always)]
    fn score(&self, node: u32) -> f32 {
        dot_here(self.query, self.vectors.row(node))
    }
}

impl GraphScore for ExactScore<'_> {
    fn nodes(&self) -> usize {
        self.vectors.values.len() / self.vectors.dimensions
    }

    #[inline(always)]
    fn touch(&self, node: u32) -> u32 {
        self.vectors.row(node).first().map_or(0, |x| x.to_bits())
    }
}

/// Working memory of a search, reused between searches.
#[derive(Debug, Default)]
pub struct SearchState {
    /// A bit per node: whether the search has visited it.
    visited: Vec<u64>,
    /// The nodes whose bits are set.
    marked: Vec<u32>,
    /// The best nodes found, best first.
    pool: Vec<Candidate>,
    /// Nodes whose links the current expansion looks at.
    ways: Vec<u32>,
    /// Neighbours found by the current expansion, and their scores.
    fresh: Vec<u32>,
    scores: Vec<f32>,
    /// The pool of a finished search.
    best: Vec<Scored>,
}

/// A node of the pool.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    scored: Scored,
    is_expanded: bool,
}

impl SearchState {
    pub(super) fn begin(&mut self, nodes: usize) {
        self.visited.resize(nodes.div_ceil(64).max(self.visited.len()), 0);
        for node in self.marked.drain(..) {
            self.visited[node as usize / 64] = 0;
        }
        self.pool.clear();
    }

    /// Marks a node as visited; false if it was visited before.
    #[inline(always)]
    fn mark(&mut self, node: u32) -> bool {
        let word = &mut self.visited[node as usize / 64];
        let bit = 1 << (node % 64);
        let is_new = *word & bit == 0;
        if is_new {
            *word |= bit;
            self.marked.push(node);
        }
        is_new
    }

    /// Inserts a node among the best `ef`; returns its position, if it has one.
    #[inline(always)]
    fn offer(&mut self, node: Scored, ef: usize) -> Option<usize> {
        if self.pool.len() == ef {
            if self.pool.last().is_some_and(|worst| node.score <= worst.scored.score) {
                return None;
            }
            self.pool.pop();
        }
        let place = self.pool.partition_point(|c| Scored::best_first(&c.scored, &node).is_lt());
        self.pool.insert(place, Candidate { scored: node, is_expanded: false });
        Some(place)
    }

    #[inline(always)]
    fn is_marked(&self, node: u32) -> bool {
        self.visited[node as usize / 64] & (1 << (node % 64)) != 0
    }

    /// Collects the allowed neighbours of a node that were not visited before into `fresh`. Where
    /// too few are allowed, neighbours of its forbidden neighbours count as its own (Patel et al.,
    /// ACORN, SIGMOD 2024, arXiv 2403.04871), and so on, fewest links away first.
    #[inline(always)]
    fn look_around<L: Links>(&mut self, layer: &L, node: u32, allows: &impl Fn(u32) -> bool) {
        self.fresh.clear();
        self.ways.clear();
        self.add_links(layer.links(node), allows);

        let mut at = 0;
        while self.fresh.len() < ENOUGH && at < self.ways.len() {
            let way = self.ways[at];
            if self.mark(way) {
                self.add_links(layer.links(way), allows);
            }
            at += 1;
        }
    }

    #[inline(always)]
    fn add_links(&mut self, links: &[u32], allows: &impl Fn(u32) -> bool) {
        for &node in links {
            if !allows(node) {
                if self.ways.len() < WAYS && !self.is_marked(node) {
                    self.ways.push(node);
                }
            } else if self.mark(node) {
                self.fresh.push(node);
            }
        }
    }

    /// Scores `fresh`. All are touched first, since the memory they lie in answers many reads at
    /// once in the time of one.
    #[inline(always)]
    fn score_fresh<S: GraphScore>(&mut self, scorer: &S) {
        let touched = self.fresh.iter().fold(0, |sum, &node| sum ^ scorer.touch(node));
        std::hint::black_box(touched);

        self.scores.clear();
        for &node in &self.fresh {
            self.scores.push(scorer.score(node));
        }
    }

    /// Offers `fresh`; returns the best position that one of them has, if any has one.
    #[inline(always)]
    fn offer_fresh(&mut self, ef: usize) -> Option<usize> {
        let mut first: Option<usize> = None;
        for at in 0..self.fresh.len() {
            let node = Scored { idx: self.fresh[at], score: self.scores[at] };
            if let Some(place) = self.offer(node, ef) {
                first = Some(first.map_or(place, |first| first.min(place)));
            }
        }
        first
    }

    /// Adds a node to a finished search, if it is among the best `ef` and was not visited before.
    pub(super) fn add(&mut self, node: Scored, ef: usize) {
        if self.mark(node.idx) {
            self.offer(node, ef);
        }
    }

    /// The worst score of the best `ef`; none with fewer.
    pub(super) fn worst(&self, ef: usize) -> Option<f32> {
        self.pool.last().filter(|_| self.pool.len() >= ef).map(|worst| worst.scored.score)
    }

    /// Number of nodes visited.
    pub(super) fn visited(&self) -> usize {
        self.marked.len()
    }

    /// What was found, best first.
    pub fn best(&mut self) -> &[Scored] {
        self.best.clear();
        self.best.extend(self.pool.iter().map(|c| c.scored));
        &self.best
    }
}

/// The best `k` nodes of `nodes`, best first.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
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
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn descend<S: Score>(scorer: &S, upper: &[Layer], entry: u32) -> u32 {
    let mut nearest = Scored { idx: entry, score: scorer.score(entry) };
    for layer in upper.iter().rev() {
        let mut from = u32::MAX;
        while nearest.idx != from {
            from = nearest.idx;
            for &idx in layer.links(from) {
                let node = Scored { idx, score: scorer.score(idx) };
                if node.score > nearest.score {
                    nearest = node;
                }
            }
        }
    }
    nearest.idx
}

/// Best-first search on one layer, from a node and from others whose scores are known: the best
/// `ef` nodes that `allows` names are [`SearchState::best`].
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
pub fn best_first<S: GraphScore, L: Links>(
    scorer: &S,
    layer: &L,
    (start, known): (u32, &[Scored]),
    ef: usize,
    allows: &impl Fn(u32) -> bool,
    search: &mut SearchState,
) {
    search.begin(scorer.nodes());
    for &node in known {
        search.mark(node.idx);
        search.offer(node, ef);
    }
    let is_new = search.mark(start);
    if is_new && allows(start) {
        search.offer(Scored { idx: start, score: scorer.score(start) }, ef);
    } else if is_new {
        search.look_around(layer, start, allows);
        search.score_fresh(scorer);
        search.offer_fresh(ef);
    }

    let mut at = 0;
    while let Some(candidate) = search.pool.get_mut(at) {
        if std::mem::replace(&mut candidate.is_expanded, true) {
            at += 1;
            continue;
        }

        let node = candidate.scored.idx;
        search.look_around(layer, node, allows);
        search.score_fresh(scorer);

        // Nodes before the first new one have been expanded.
        let first = search.offer_fresh(ef);
        at = first.map_or(at + 1, |first| first.min(at + 1));
    }
}
