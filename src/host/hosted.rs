//! One store of a process.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::settings::{Limits, StoreSettings};
use crate::access::{RateLimiter, Usage};
use crate::engine::Engine;
use crate::telemetry::RequestCounts;

/// An open store, with what counts its use.
#[derive(Debug)]
pub struct Hosted {
    /// Its name.
    pub name: String,
    /// The store.
    pub engine: Arc<Engine>,
    /// What runs for it.
    pub usage: Arc<Usage>,
    /// Requests to it since it was opened.
    pub counts: Arc<RequestCounts>,
    settings: ArcSwap<StoreSettings>,
    rate: ArcSwap<RateLimiter>,
}

impl Hosted {
    pub(super) fn new(name: &str, engine: Engine, settings: StoreSettings) -> Self {
        let rate = RateLimiter::new(settings.limits.quota);
        Self {
            name: name.to_owned(),
            engine: Arc::new(engine),
            usage: Arc::default(),
            counts: Arc::new(RequestCounts::new(name)),
            settings: ArcSwap::from_pointee(settings),
            rate: ArcSwap::from_pointee(rate),
        }
    }

    /// Its settings.
    pub fn settings(&self) -> Arc<StoreSettings> {
        self.settings.load_full()
    }

    /// Counts requests against its quota.
    pub fn rate(&self) -> Arc<RateLimiter> {
        self.rate.load_full()
    }

    /// Puts new limits in force.
    pub(super) fn limit(&self, limits: Limits) {
        self.rate.store(Arc::new(RateLimiter::new(limits.quota)));
        let settings = StoreSettings::clone(&self.settings.load());
        self.settings.store(Arc::new(StoreSettings { limits, ..settings }));
    }
}
