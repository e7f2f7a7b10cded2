//! What a server is among those that share an object store.

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It writes, as the only one.
    Writer,
    /// It copies what the writer has written.
    Follower,
}

/// What changes for a follower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It has become the writer.
    Writes,
    /// Its copy of this store is no part of what the writer has: it must be set aside, and made anew.
    Apart(String),
}
