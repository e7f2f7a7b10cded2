//! The nearest-neighbour graph over embeddings.
//!
//! - [`build`]: builds, freezes and checks it
//! - [`base_layer`]: the links of all items; [`upper_layers`]: the way down to them, by hnsw_rs

pub mod base_layer;
pub mod build;
pub mod upper_layers;
