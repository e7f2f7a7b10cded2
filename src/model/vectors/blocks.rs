//! What a search reads of a node, in one block: its quantized vector, and its links right behind
//! it. A search of a large catalogue waits for memory more than it computes, and a block costs one
//! lookup of an address instead of three.

use crate::domain::kernels::dot_quantized_here;
use crate::model::vectors::graph::{GraphScore, Layer, Links, Score};
use crate::model::vectors::quantized::{QuantizedQuery, QuantizedVectors};

/// Codes in a word.
const CODES: usize = size_of::<u32>();
/// Words of a cache line, which blocks are a multiple of.
const LINE: usize = 16;

/// The base layer of a graph with the vectors of its nodes. A block is a scale, the codes, the
/// number of links, and the links, with room for as many as any node has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Blocks {
    words: Vec<u32>,
    dimensions: usize,
    /// Words of a block.
    stride: usize,
    /// Words before the number of links.
    before_links: usize,
}

impl Blocks {
    /// The blocks of all nodes of a layer.
    pub fn new(base: &Layer, vectors: &QuantizedVectors) -> Self {
        let nodes = vectors.len();
        let most = (0..nodes as u32).map(|node| base.links(node).len()).max().unwrap_or(0);
        let before_links = 1 + vectors.dimensions().div_ceil(CODES);
        let stride = (before_links + 1 + most).next_multiple_of(LINE);

        let mut words = vec![0; nodes * stride];
        for (node, block) in words.chunks_exact_mut(stride).enumerate() {
            let (codes, scale) = vectors.row(node);
            block[0] = scale.to_bits();
            bytemuck::cast_slice_mut(&mut block[1..before_links])[..codes.len()]
                .copy_from_slice(codes);
            let links = base.links(node as u32);
            block[before_links] = links.len() as u32;
            block[before_links + 1..][..links.len()].copy_from_slice(links);
        }
        Self { words, dimensions: vectors.dimensions(), stride, before_links }
    }

    /// A scorer of nodes against a query.
    pub fn scorer(&self, query: &[f32]) -> BlockScore<'_> {
        BlockScore { blocks: self, query: QuantizedQuery::new(query) }
    }

    #[inline(always)]
    fn block(&self, node: u32) -> &[u32] {
        &self.words[node as usize * self.stride..][..self.stride]
    }
}

impl Links for Blocks {
    #[inline(always)]
    fn links(&self, node: u32) -> &[u32] {
        let behind = &self.block(node)[self.before_links..];
        &behind[1..][..behind[0] as usize]
    }
}

/// A query against the vectors of blocks.
#[derive(Debug)]
pub struct BlockScore<'a> {
    blocks: &'a Blocks,
    query: QuantizedQuery,
}

impl Score for BlockScore<'_> {
    #[inline(always)]
    fn score(&self, node: u32) -> f32 {
        let block = self.blocks.block(node);
        let codes: &[i8] = bytemuck::cast_slice(&block[1..self.blocks.before_links]);
        let product = dot_quantized_here(&codes[..self.blocks.dimensions], &self.query.codes);
        product as f32 * f32::from_bits(block[0]) * self.query.scale
    }
}

impl GraphScore for BlockScore<'_> {
    fn nodes(&self) -> usize {
        self.blocks.words.len() / self.blocks.stride
    }

    #[inline(always)]
    fn touch(&self, node: u32) -> u32 {
        let block = self.blocks.block(node);
        block[0] ^ block[self.blocks.before_links]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::vectors::graph::Vectors;

    #[test]
    fn a_block_holds_what_the_layer_and_the_vectors_do() {
        // Five dimensions, which fill no whole number of words.
        let values: Vec<f32> = (0..15).map(|at| (at as f32 - 7.0) / 7.0).collect();
        let vectors = QuantizedVectors::new(Vectors { dimensions: 5, values: &values });
        let base = Layer::new([vec![1, 2], vec![], vec![0]]);
        let blocks = Blocks::new(&base, &vectors);

        let query = [0.5, -0.25, 0.0, 1.0, 0.125];
        let scorer = blocks.scorer(&query);
        let flat = vectors.scorer(&query);
        assert_eq!(scorer.nodes(), 3);
        for node in 0..3 {
            assert_eq!(blocks.links(node), base.links(node));
            assert_eq!(scorer.score(node), flat.score(node));
        }
    }
}
