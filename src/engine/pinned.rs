//! Models that placements name, in memory beside those with a role in serving.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::registry::Models;
use crate::domain::{Error, Generation};
use crate::model::Snapshot;

/// The models that placements name.
#[derive(Debug, Default)]
pub(super) struct PinnedModels(ArcSwap<BTreeMap<Generation, Arc<Snapshot>>>);

impl PinnedModels {
    /// The model of this generation, if a placement names it and it is kept.
    pub(super) fn get(&self, generation: Generation) -> Option<Arc<Snapshot>> {
        self.0.load().get(&generation).cloned()
    }

    /// Holds these generations, as far as they are kept: a model that was removed, for age or because an
    /// erased user is in it, leaves, and the one that answers takes its place. May read from disk.
    pub(super) fn hold(&self, wanted: &[Generation], models: &Models) {
        let held = self.0.load();
        if wanted.is_empty() && held.is_empty() {
            return;
        }
        let mut next = BTreeMap::new();
        for &generation in wanted {
            let known = held.get(&generation).cloned();
            let found = models.find(generation).and_then(|_| match known.clone() {
                Some(snapshot) => Ok(snapshot),
                None => models.load(generation),
            });
            match (found, known) {
                (Ok(snapshot), _) => drop(next.insert(generation, snapshot)),
                (Err(Error::NotFound { .. }), _) => {}
                // A disk that fails says nothing of what is kept.
                (Err(_), Some(snapshot)) => drop(next.insert(generation, snapshot)),
                (Err(error), None) => {
                    tracing::error!(generation, %error, "a placement's model is not read");
                }
            }
        }
        self.0.store(Arc::new(next));
    }

    /// Bytes of the models held.
    pub(super) fn bytes(&self) -> u64 {
        self.0.load().values().map(|snapshot| snapshot.manifest.bytes).sum()
    }
}
