//! `[object_store]`

use serde::{Deserialize, Serialize};

/// `[object_store]`: servers that share an object store
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectStoreOptions {
    /// URL of the place that the servers share: s3://bucket/path, gs://bucket/path, az://container/path or
    /// file:///path; empty: none. Credentials come from the variables that the store's own tools read.
    pub url: String,
    /// Whether this server may write: it does while no other does. Otherwise it follows the one that writes.
    pub may_write: bool,
    /// Whether this server may train: it does while no other does.
    pub may_train: bool,
    /// Address at which the other servers reach this one, as HOST:PORT or https://HOST:PORT; empty: they refuse
    /// writes while this one writes.
    pub advertise: String,
    /// Milliseconds between two looks at the object store, and between two writes to it.
    pub every_ms: u64,
    /// Seconds after which another server takes the place of one that is not heard of any more.
    pub lease_seconds: u64,
    /// Whether a write is acknowledged only once it is in the object store, so that it outlives the machine: each
    /// takes about `every_ms` longer then.
    pub acknowledge_uploaded: bool,
    /// Seconds for which objects stay that nothing refers to any more.
    pub keep_seconds: u64,
}

impl Default for ObjectStoreOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            may_write: true,
            may_train: true,
            advertise: String::new(),
            every_ms: 1_000,
            lease_seconds: 10,
            acknowledge_uploaded: false,
            keep_seconds: 600,
        }
    }
}

impl ObjectStoreOptions {
    /// Whether there is an object store.
    pub fn is_on(&self) -> bool {
        !self.url.is_empty()
    }
}
