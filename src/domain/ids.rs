//! Dense internal ids and counters.

/// A user's dense internal id: assigned in log order, never reused.
pub type UserIdx = u32;
/// An item's dense internal id: assigned in log order, never reused.
pub type ItemIdx = u32;
/// A record's place in the log, counted from 0.
pub type Offset = u64;
/// The number of a published snapshot, from 1; 0 stands for "none yet".
pub type Generation = u64;
