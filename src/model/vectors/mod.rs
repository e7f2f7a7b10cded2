//! Vectors of items, and the search among them.
//!
//! - [`embeddings`]: the vectors, and how a user's is folded in
//! - [`quantized`]: the vectors in eight bits a dimension, quicker to read
//! - [`graph`]: the frozen nearest-neighbour graph, and its search

pub mod embeddings;
pub mod graph;
pub mod quantized;
