//! The server that writes, as a follower knows it: it may be another from one moment to the next.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::options::FollowOptions;
use super::upstream::Upstream;

/// The server that writes.
#[derive(Debug)]
pub struct Primary {
    options: FollowOptions,
    upstream: ArcSwapOption<Upstream>,
    /// Whether the stores are copied from it. Otherwise they come from what the servers share.
    is_copied: bool,
}

impl Primary {
    /// The server that the options name. Call it within a tokio runtime.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn named(options: &FollowOptions) -> Result<Self, String> {
        let upstream = ArcSwapOption::from_pointee(Upstream::new(options)?);
        Ok(Self { options: options.clone(), upstream, is_copied: true })
    }

    /// A server whose address is not known yet.
    pub fn unknown(options: &FollowOptions) -> Self {
        let upstream = ArcSwapOption::empty();
        Self { options: options.clone(), upstream, is_copied: false }
    }

    /// Notes its address; empty where it names none.
    pub fn set_address(&self, address: &str) {
        let is_known = |upstream: &Arc<Upstream>| upstream.address == address;
        let known = self.upstream();
        if known.as_ref().is_some_and(is_known) || (known.is_none() && address.is_empty()) {
            return;
        }
        let options = FollowOptions { primary: address.to_owned(), ..self.options.clone() };
        let upstream = match address {
            "" => Ok(None),
            _ => Upstream::new(&options).map(|upstream| Some(Arc::new(upstream.changing()))),
        };
        match upstream {
            Ok(upstream) => {
                if upstream.is_some() {
                    tracing::info!(primary = address, "writes are passed on to another server");
                }
                self.upstream.store(upstream);
            }
            Err(error) => {
                tracing::warn!(error, "the server that writes is not reached");
                self.upstream.store(None);
            }
        }
    }

    /// The connection to it; none while it is not known.
    pub fn upstream(&self) -> Option<Arc<Upstream>> {
        self.upstream.load_full()
    }

    /// The connection to the server that the stores are copied from, if they are.
    pub fn copied(&self) -> Option<Arc<Upstream>> {
        self.upstream().filter(|_| self.is_copied)
    }

    /// Whether calls that change something are passed on to it.
    pub fn forwards(&self) -> bool {
        self.options.forward
    }

    /// How long a call waits for the offset that it names.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.options.wait_ms)
    }
}
