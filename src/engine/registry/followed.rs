//! The registry of a store that follows another: the roles are those of the other, as far as the models are
//! here.

use std::sync::Arc;

use super::models::{Models, storage};
use super::published::Published;
use crate::domain::{Generation, Result};
use crate::model::roles::Part;
use crate::model::{Manifest, Roles, Snapshot, disk};

impl Models {
    /// The roles of all kept snapshots.
    pub(in crate::engine) fn roles(&self) -> Roles {
        self.published.load().roles.clone()
    }

    /// Takes over roles, and removes snapshots that are none of `kept`; returns the manifest of the active one.
    /// Changes nothing while the one that is to be active is not here yet.
    ///
    /// # Errors
    /// [`crate::domain::Error::Storage`] where the disk fails.
    pub(in crate::engine) fn follow(
        &self,
        roles: &Roles,
        kept: &[Manifest],
    ) -> Result<Option<Manifest>> {
        let _changing = self.changing.lock();
        let before = Published::clone(&self.published.load());
        let whole = |generation: Option<Generation>| -> Result<_> {
            let manifest = kept.iter().find(|kept| Some(kept.generation) == generation);
            manifest.map_or(Ok(None), |manifest| self.whole(&before, manifest))
        };
        let active = whole(roles.active)?;
        if active.is_none() && roles.active.is_some() {
            return Ok(None);
        }
        let part = |part: Option<Part>| -> Result<_> {
            let snapshot = whole(part.map(|part| part.generation))?;
            Ok(snapshot.zip(part.map(|part| part.share)))
        };
        let published = Published {
            canary: part(roles.canary)?,
            shadow: part(roles.shadow)?,
            standby: roles.answered.last().and_then(|&generation| before.holding(generation)),
            active: active.clone(),
            roles: roles.clone(),
        };

        if !is_same(&before, &published) {
            self.serve_active(published)?;
        }
        let is_kept = |found: &Manifest| {
            kept.iter().any(|k| k.generation == found.generation && k.checksum == found.checksum)
        };
        disk::remove_where(&self.folder, |found| found.is_none_or(|found| !is_kept(found)))
            .map_err(storage)?;
        Ok(active.map(|active| active.manifest.clone()))
    }

    /// The snapshot with this manifest, from memory if it is there; none where it is not kept whole.
    fn whole(&self, held: &Published, manifest: &Manifest) -> Result<Option<Arc<Snapshot>>> {
        let is_it = |found: &Manifest| found.checksum == manifest.checksum;
        let in_memory = held.holding(manifest.generation).filter(|held| is_it(&held.manifest));
        if in_memory.is_some() {
            return Ok(in_memory);
        }
        let found = disk::find(&self.folder, manifest.generation).map_err(storage)?;
        if !found.is_some_and(|found| is_it(&found)) {
            return Ok(None);
        }
        let loaded = disk::load_whole(&self.folder, manifest.generation).map_err(storage)?;
        if loaded.is_none() {
            // It is copied again.
            self.remove(manifest.generation)?;
        }
        Ok(loaded.map(Arc::new))
    }
}

/// Whether two sets serve the same.
fn is_same(one: &Published, other: &Published) -> bool {
    let all = |published: &Published| -> Vec<Option<(Generation, String)>> {
        let parts =
            [&published.canary, &published.shadow].map(|part| part.as_ref().map(|(s, _)| s));
        let whole = [published.active.as_ref(), published.standby.as_ref()];
        let manifest = |s: &Arc<Snapshot>| (s.manifest.generation, s.manifest.checksum.clone());
        whole.into_iter().chain(parts).map(|held| held.map(manifest)).collect()
    };
    one.roles == other.roles && all(one) == all(other)
}
