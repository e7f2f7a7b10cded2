//! The protocol, generated from `proto/`.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

tonic::include_proto!("qianmian.v1");

/// Descriptors of the protocol and all it imports, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/qianmian.bin"));
