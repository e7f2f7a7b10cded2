//! Qianmian (千面, "a thousand faces"): a recommendation engine server. One
//! binary takes a store's purchase log, trains on it in the background, and
//! answers storefronts over gRPC, gRPC-Web and JSON.
//!
//! # The flow
//! ```text
//! write:  api ── validate ──> log (durable) ──> live state ──> ack (offset)
//! train:  log ── replay to offset ──> matrix ──> trainers ──> tune ──> snapshot ──> persist ──> publish
//! push:   api ── file ──> gate ──> snapshot with the trained parts ──> persist ──> publish
//! read:   api ──> one snapshot + history + catalogue + now ──> sources ──> blend ──> filter ──> top k
//! ```
//!
//! # The modules
//! Imports point down this list only, except for `config`, which any module may import. Files of a
//! folder do not import each other in a circle. A folder's `mod.rs` describes its files.
//!
//! | module | what it knows |
//! |---|---|
//! | [`cli`] | the verbs of the command line, one file each; the gRPC client they share (`backend`, `admin`, `remote`) |
//! | [`api`] | gRPC: `services` (one file a service), `web` (JSON, gRPC-Web, browsers), `access` (who may call what, which store answers), `admission` (connections, memory, number of requests, deadlines), `follow` (a server that follows another), `wire` (protocol, limits on entries, conversions, statuses) |
//! | [`shared`] | servers that share an object store: one writes, others follow, one trains (feature `object-store`) |
//! | [`host`] | the stores of one process: created, limited, deleted |
//! | [`engine`] | one store: `serve`, `write`, `trainer`, `push`, `import`, `replication` over a shared state and the `registry` of models |
//! | [`backup`] | the data folder as of one moment: copied, checked, restored |
//! | [`export`] | the log, the matrix and models as files for jobs elsewhere |
//! | [`plan`] | what a shop of any size needs: from measured figures, and from a simulation |
//! | [`tune`] | fits hyperparameters, blend weights and the second stage to the store, on held-out behaviour |
//! | [`evaluate`] | splits, metrics, and the harness that asks for lists and scores them |
//! | [`experiment`] | who sees which variant, what lists brought, how sure a difference is; interleaving, off-policy estimates, simulated users |
//! | [`insight`] | what a store knows of its users: portraits, RFM and tiers, value and churn, cohorts |
//! | [`recommend`] | the funnel, pure: prepared list, sources, blend, second stage, rules, variety, fill, reasons, related lists |
//! | [`sources`] | candidate sources, one file each: training, proposal, search space; query, shelf, training of a snapshot's parts |
//! | [`rules`] | what a merchandiser decides: rules as data, compiled against the catalogue, those that hold for a list |
//! | [`live`] | what every write changes: vocabulary, histories, catalogue, profiles, trends |
//! | [`train`] | trainers, one algorithm a file; `graph` builds the nearest-neighbour graph |
//! | [`model`] | the snapshot and its parts, settings, roles, on disk and in memory; `vectors` searches, `pushed` reads pushed files |
//! | [`matrix`] | the user-item matrix: weighting, sparse rows, baskets |
//! | [`content`] | what items are: words, features, vectors, and how alike they are |
//! | [`doctor`] | finds what is wrong with a log, and names what mends it |
//! | [`import`] | files to events, items and users: formats, mapping, cleaning |
//! | [`access`] | API keys, scopes, quotas, the audit log |
//! | [`objects`] | an object store: pieces named by their checksums, leases (feature `object-store`) |
//! | [`store`] | the durable log and the data folder |
//! | [`telemetry`] | metrics, the record of a request, the version |
//! | [`domain`] | plain types and small algorithms: events, items, limits, top-k |
//!
//! Where to look for a behaviour:
//!
//! | behaviour | file |
//! |---|---|
//! | the hot path of a request | `engine/serve/query.rs`, then `recommend/funnel.rs` |
//! | how an event's age and kind become a weight (half-life) | `matrix/weight.rs` |
//! | which items a filter and availability allow (sold out, deleted, validity) | `live/catalogue.rs`, conditions in `live/facets.rs` |
//! | when a prepared list goes stale | `model/prepared.rs`, by the stamp of a history; made and served by `recommend/prepared.rs` |
//! | what a user without consent, or an erased one, is to a request | `engine/serve/query.rs` |
//! | limits on fields, batches and lists | `domain/limits.rs`; entries of a message before it is decoded: `api/wire/entries.rs` |
//! | the cheaper list near a deadline | `recommend/blend.rs` leaves out the second stage, where `domain/deadline.rs` finds the deadline near |
//! | where blend weights are fitted, and applied | `tune/blend.rs`; `recommend/blend.rs` |
//! | a torn tail of the log against damage | `store/segment.rs` |
//! | how the log is rewritten without erased users | `store/compact.rs`, started by `engine/trainer/erasure.rs` |
//! | when a training starts by itself | `engine/trainer/schedule.rs` |
//! | one training, step by step | `engine/trainer/run.rs` |
//! | where the nearest-neighbour graph is frozen into flat arrays | `train/graph/base_layer.rs`, `train/graph/upper_layers.rs`; the build as a whole: `train/graph/build.rs`; its search: `model/vectors/index.rs`, then `by_length.rs` and `graph.rs` |
//! | the checks of a pushed model's arrays (NaN, lengths, ids) | `engine/push/arrays.rs` counts, `engine/push/gate.rs` decides |
//! | who gets the canary | `engine/registry/models.rs`, `of_user` |
//! | scoring of anonymous sessions | `sources/session.rs` |
//! | which of two rules in conflict holds | `rules/active.rs`; places of a list: `recommend/places.rs` |
//! | new items and new users (cold start) | `recommend/cold.rs`, `live/trends.rs`, `live/overlay.rs` |
//! | what a retry adds (dedup window) | `live/dedup_window.rs` |
//! | which key may call what | `api/access/methods.rs`, decided in `api/access/authentication.rs` |
//! | how much one address, key or store may take | `api/admission/caller.rs` |
//! | what a follower does with a call, and until when it answers users | `api/follow/layer.rs`, `engine/lease.rs` |
//! | whether a copy is a part of a log | `store/writers.rs` |
//! | which store trains next | `engine/threads/turns.rs` |
//!
//! # Words
//! One word for one thing.
//!
//! | WORDS | meaning |
//! |---|---|
//! | user, item | who acts, and on what; never shopper, customer, visitor or product |
//! | event | a fact of the log: view, add to cart, favorite, purchase, refund, rating, impression, click |
//! | interaction | a cell of the user-item matrix, made from events |
//! | idx | a dense internal id; an *id* is the external one |
//! | offset | a record's place in the log |
//! | generation | the number of a published snapshot |
//! | snapshot | everything trained, immutable; a *model* is a snapshot that is kept |
//! | live state | what changes with every write |
//! | key, scope | an API key, and what its holder may do |
//! | act | a call that changes what others get: recorded in the audit log |
//! | primary, follower | the server that writes a store, and one that copies it |
//! | lease | until when a follower answers from what it has of users |
//! | role | whom a generation answers: staged, shadow, canary, active, retired |
//! | candidate source | a way to propose items |
//! | blend | one score from several sources; the *second stage* orders its best again |
//! | hyperparameter | a setting that the tuner may change, with its grid of values |
//! | neighbours | the most similar items or users |
//! | embedding | a dense vector; *quantized*: in eight bits a dimension |
//! | ann | the nearest-neighbour graph: base layer, upper layers, visited set, `ef_construction` |
//! | prepared list | a list made when a snapshot is trained, served while it holds |
//! | cold start | items and users without events |
//! | dedup window | the newest event ids, by which a retry is recognised |
//! | carried, pushed | a model trained elsewhere, and its life beside trainings |
//! | `min_`, `max_` | limits, inclusive |
//!
//! # What stays true
//! `tests/it/tidy.rs` checks what can be checked.
//!
//! 1. Only `api`, `bin` and the client in `cli` (`admin.rs`, `backend.rs`, `remote.rs`) name tonic or
//!    prost. Only `access`, `store`, `import`, `export`, `backup`, `model/copied.rs`, `model/disk.rs`, `model/frozen.rs`,
//!    `model/pushed/upload.rs`, `api/tls.rs`, `config`, `cli`, `bin` and `main` touch files.
//! 2. `recommend` and `sources` are pure: no I/O, no lock, no global random numbers, no clock.
//! 3. A published snapshot never changes; a request resolves one and keeps it.
//! 4. A snapshot names the last offset it was trained on, its seed, its settings and its measured
//!    quality.
//! 5. Filters apply before a list is cut: a filter never makes it shorter than the catalogue allows.
//! 6. An acknowledged event survives `kill -9`; an unacknowledged one is whole or absent.
//! 7. No request waits for training; no lock is held across an `.await`; nothing from outside can
//!    panic the server; every queue is bounded.
//! 8. Ties break by id, random numbers are seeded: the same log, settings and seed give the same
//!    snapshot and the same answers. Three exceptions: hnsw_rs's parallel build, so that two
//!    trainings can differ in the ann graph's upper layers; a tuning that its time limit ends
//!    (`train.tune_minutes`; recorded in the manifest); and the number of prepared lists, which
//!    `train.prepare_seconds` limits.

pub mod access;
pub mod api;
pub mod backup;
pub mod cli;
pub mod config;
pub mod content;
pub mod doctor;
pub mod domain;
pub mod engine;
pub mod evaluate;
pub mod experiment;
pub mod export;
pub mod host;
pub mod import;
pub mod insight;
pub mod live;
pub mod matrix;
pub mod model;
#[cfg(feature = "object-store")]
pub mod objects;
pub mod plan;
pub mod recommend;
pub mod rules;
pub mod shared;
pub mod sources;
pub mod store;
pub mod telemetry;
pub mod train;
pub mod tune;
