//! `[follow]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::{Secret, Shard};

/// `[follow]`: a server that follows another
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FollowOptions {
    /// Address of the server that writes, as HOST:PORT, or https://HOST:PORT with TLS; empty: this server
    /// follows none.
    pub primary: String,
    /// API key of the primary with the scope follow; empty where the primary has no keys. Best set by the
    /// variable QIANMIAN_FOLLOW__KEY.
    pub key: Secret,
    /// File with the roots that the primary's certificate must come from; empty: the system's.
    pub ca: PathBuf,
    /// File with a client certificate, for a primary that asks for one; empty: none.
    pub cert: PathBuf,
    /// File with the private key of the client certificate.
    pub cert_key: PathBuf,
    /// Whether calls that change something are passed on to the primary with their caller's key; otherwise they
    /// are refused.
    pub forward: bool,
    /// Milliseconds for which a call that names an offset waits until the copy has reached it. Then it is
    /// passed on, or refused.
    pub wait_ms: u64,
    /// The users whose lists this server makes, as the number of their shard, from 0, and the number of shards:
    /// "2/4". Histories of others are kept in fewer bytes. "0/1": all users.
    pub shard: Shard,
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            primary: String::new(),
            key: Secret::default(),
            ca: PathBuf::new(),
            cert: PathBuf::new(),
            cert_key: PathBuf::new(),
            forward: true,
            wait_ms: 500,
            shard: Shard::WHOLE,
        }
    }
}

impl FollowOptions {
    /// Whether this server follows another.
    pub fn is_on(&self) -> bool {
        !self.primary.is_empty()
    }
}
