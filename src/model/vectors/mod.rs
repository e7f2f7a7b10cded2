//! Vectors of items, and the search among them.
//!
//! - [`embeddings`]: the vectors, and how a user's is folded in
//! - [`by_length`]: vectors by length; the longest are the best of most queries
//! - [`index`]: what a search reads of all of these
//! - [`quantized`]: the vectors in eight bits a dimension, quicker to read
//! - [`blocks`]: a node's quantized vector and its links, side by side
//! - [`graph`]: the frozen nearest-neighbour graph, and its search

pub mod blocks;
pub mod by_length;
pub mod embeddings;
pub mod graph;
pub mod index;
pub mod quantized;
