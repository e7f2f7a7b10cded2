//! What was measured: on two shared cores, of synthetic stores of purchases, 20 by user (`loadtest/plan.py`;
//! `records/2026-11-29/plan.txt`). Bytes are of memory where nothing else is said.

/// A history: each event that is kept, with room to grow, and each user.
pub(super) const HISTORY_BYTES_OF_EVENT: f64 = 32.0;
pub(super) const HISTORY_BYTES_OF_USER: f64 = 56.0;
/// The id of a user or an item.
pub(super) const NAME_BYTES: f64 = 38.0;
/// An item of the catalogue, without texts.
pub(super) const CATALOGUE_BYTES_OF_ITEM: f64 = 355.0;
/// What a user bought, and when.
pub(super) const ORDER_BYTES_OF_USER: f64 = 172.0;
/// A server without anything, and what the allocator holds beside what is counted.
pub(super) const PROCESS_BYTES: f64 = 63e6;
pub(super) const UNCOUNTED_BYTES_OF_EVENT: f64 = 8.5;

/// A model, on disk as in memory: histories and sessions of users, prepared lists, neighbours and vectors of items, and
/// tables of the most bought items.
pub(super) const MODEL_BYTES: f64 = 60e6;
pub(super) const MODEL_BYTES_OF_EVENT: f64 = 32.0;
pub(super) const MODEL_BYTES_OF_USER: f64 = 40.0;
pub(super) const MODEL_BYTES_OF_ITEM: f64 = 4_600.0;

/// The log on disk.
pub(super) const LOG_BYTES_OF_EVENT: f64 = 17.2;
/// Seconds of opening a store from all of its log, of 2,000,000 events, for each; and what each takes more in one that is ten times as
/// large, since less of it is in the processor's caches.
pub(super) const OPENING_SECONDS_OF_EVENT: f64 = 0.8e-6;
pub(super) const OPENING_SECONDS_TENFOLD: f64 = 0.8e-6;
pub(super) const OPENING_EVENTS: f64 = 2e6;
/// Seconds of opening a store from a checkpoint, for each event before it (`records/2026-11-29/checkpoint.txt`), and the
/// share of the log behind the last one at most.
pub(super) const CHECKPOINT_SECONDS_OF_EVENT: f64 = 0.085e-6;
pub(super) const REPLAYED: f64 = 0.2;

/// Seconds of a training with tuning on two cores.
pub(super) const TRAINING_SECONDS: f64 = 82.0;
pub(super) const TRAINING_SECONDS_OF_EVENT: f64 = 3.0e-6;
pub(super) const TRAINING_SECONDS_OF_ITEM: f64 = 1.6e-3;
/// Cores of that machine.
pub(super) const TRAINING_CORES: f64 = 2.0;
/// Memory of a training, beside two models: 4.0 GiB with 20,000,000 events
/// (`records/2026-11-28/large-training.txt`).
pub(super) const TRAINING_BYTES_OF_EVENT: f64 = 107.0;

/// Seconds of one core for a list of a user who has just clicked, the wire included, and the making of the next one
/// (`records/2026-11-27/active.txt`: 53 µs, and .3 ms after each event).
pub(super) const SECONDS_OF_LIST: f64 = 353e-6;
/// Events of a topic, in JSON, that a server takes in (`records/2026-11-29/kafka.txt`).
pub(super) const EVENTS_TAKEN_IN_PER_SECOND: f64 = 157_000.0;
/// Records that a follower applies (`records/2026-11-28/followers.txt`: 3,000,000 in 3.7 s, while 50,000 a second
/// came).
pub(super) const EVENTS_APPLIED_PER_SECOND: f64 = 860_000.0;
/// Bytes of an event in a topic, in JSON, with its key (`records/2026-11-29/kafka.txt`).
pub(super) const WIRE_BYTES_OF_EVENT: f64 = 90.0;
/// Seconds until what is taken in is in the object store, and read from there: `object_store.every_ms`, twice.
pub(super) const SECONDS_TO_OBJECT_STORE: f64 = 2.0;
