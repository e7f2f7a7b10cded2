//! Vectors of items, and the search among them.
//!
//! - [`embeddings`]: the vectors, and how a user's is folded in
//! - [`longest`]: the longest vectors, which are the best of most queries
//! - [`quantized`]: the vectors in eight bits a dimension, quicker to read
//! - [`blocks`]: a node's quantized vector and its links, side by side
//! - [`graph`]: the frozen nearest-neighbour graph, and its search

pub mod blocks;
pub mod embeddings;
pub mod graph;
pub mod longest;
pub mod quantized;
