//! Qianmian (千面, "a thousand faces"): a recommendation engine server. One
//! binary takes a store's purchase log, trains on it in the background, and
//! answers storefronts over gRPC.
//!
//! # The flow
//! ```text
//! write:  api ── validate ──> log (durable) ──> live state ──> ack (offset)
//! train:  log ── replay to offset ──> matrix ──> trainers ──> snapshot ──> persist ──> publish
//! push:   api ── file ──> gate ──> snapshot beside the trained parts ──> persist ──> publish
//! read:   api ──> one snapshot + history + catalogue + now ──> sources ──> blend ──> filter ──> top k
//! ```
//!
//! # The house
//! Imports point down this list only; `config` stands beside it.
//!
//! | module | what it knows |
//! |---|---|
//! | [`cli`] | the verbs of the command line, and the gRPC client they share |
//! | [`api`] | the gRPC services: validate, convert, delegate |
//! | [`engine`] | one store: the committer, the trainer's thread, imports, queries |
//! | [`export`] | the log, the matrix and models as files for jobs elsewhere |
//! | [`tune`] | fits settings and blend weights to the store, on held-out behaviour |
//! | [`evaluate`] | splits, metrics, and the harness that asks for lists and scores them |
//! | [`recommend`] | the funnel, pure: sources, blend, fill, related lists |
//! | [`train`] | the trainers: popularity, item CF, baskets, user CF, embeddings, graph |
//! | [`model`] | the snapshot and its parts, on disk and in memory |
//! | [`live`] | what every write changes: vocabulary, histories, catalogue, profiles, trends |
//! | [`matrix`] | the user-item matrix: weighting, sparse rows, baskets |
//! | [`import`] | files to events and items: formats, mapping, cleaning |
//! | [`store`] | the durable log and the data folder |
//! | [`domain`] | plain types and small algorithms: events, items, limits, top-k |
//!
//! # Words
//! An **event** is a fact of the log; an **interaction** a cell of the user-item
//! matrix made from events; an **offset** a record's place in the log; a
//! **generation** the number of a published snapshot; an **idx** a dense internal
//! id. **Neighbours** are the most similar items or users; an **embedding** is a
//! dense vector; **ann** the approximate nearest-neighbour graph. A **candidate
//! source** proposes items, the **blend** makes one score of several; **recall** is
//! the metric. A **snapshot** is everything trained, immutable; **live state** is
//! what changes with every event. What was trained elsewhere is **pushed**; a
//! generation's **role** says whom it answers.
//!
//! # What stays true
//! `tests/it/tidy.rs` checks what can be checked.
//!
//! 1. Only `api` and the client in `cli/backend.rs` name tonic or prost. Only
//!    `store`, `import`, `export`, `model/{disk,upload}.rs`, `config` and `cli` touch
//!    files.
//! 2. `recommend` is pure: no I/O, no lock, no global random numbers, no clock.
//! 3. A published snapshot never changes; a request resolves one and keeps it.
//! 4. A snapshot names the last offset it was trained on, its seed, its settings
//!    and its measured quality.
//! 5. Filters apply before a list is cut: a filter never makes it shorter than the
//!    catalogue allows.
//! 6. An acknowledged event survives `kill -9`; an unacknowledged one is whole or absent.
//! 7. No request waits for training; no lock is held across an `.await`; nothing
//!    from outside can panic the server; every queue is bounded.
//! 8. Ties break by id, random numbers are seeded: the same log, settings and seed
//!    give the same snapshot and the same answers. The one exception is hnsw_rs's
//!    parallel build: two trainings can differ in the ann graph.

pub mod api;
pub mod cli;
pub mod config;
pub mod domain;
pub mod engine;
pub mod evaluate;
pub mod export;
pub mod import;
pub mod live;
pub mod matrix;
pub mod model;
pub mod recommend;
pub mod sources;
pub mod store;
pub mod train;
pub mod tune;
