//! The snapshots with a role in serving.

use std::sync::Arc;

use crate::domain::Generation;
use crate::model::roles::{Role, Roles};
use crate::model::{Manifest, Snapshot};

/// The snapshots with a role in serving; replaced as a whole, never changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    /// The active one.
    pub(super) active: Option<Arc<Snapshot>>,
    /// The canary, with its share of users.
    pub(super) canary: Option<(Arc<Snapshot>, f64)>,
    /// The shadow, with its share of requests.
    pub(super) shadow: Option<(Arc<Snapshot>, f64)>,
    /// The one that was active before, in memory for an instant rollback.
    pub(super) standby: Option<Arc<Snapshot>>,
    /// The recorded roles of all kept snapshots.
    pub(super) roles: Roles,
}

/// A model with a role in serving.
#[derive(Debug)]
pub struct ServingModel {
    /// Its role.
    pub role: Role,
    /// The facts about it.
    pub manifest: Manifest,
}

impl Published {
    /// The models with a role in serving, the active one first.
    pub(super) fn serving(&self) -> Vec<ServingModel> {
        let active = self.active.iter().map(|active| (Role::Active, active));
        let canary = self.canary.iter().map(|(canary, share)| (Role::Canary(*share), canary));
        let shadow = self.shadow.iter().map(|(shadow, share)| (Role::Shadow(*share), shadow));
        let all = active.chain(canary).chain(shadow);
        all.map(|(role, s)| ServingModel { role, manifest: s.manifest.clone() }).collect()
    }

    pub(super) fn holding(&self, generation: Generation) -> Option<Arc<Snapshot>> {
        let parts = [&self.canary, &self.shadow].into_iter().flatten().map(|(held, _)| held);
        let mut held = [&self.active, &self.standby].into_iter().flatten().chain(parts);
        held.find(|held| held.manifest.generation == generation).cloned()
    }

    /// Gives a snapshot a role, and removes its other roles.
    pub(super) fn give(&mut self, snapshot: &Arc<Snapshot>, role: Role) {
        let other = |s: &Arc<Snapshot>| s.manifest.generation != snapshot.manifest.generation;
        self.canary = self.canary.take().filter(|(s, _)| other(s));
        self.shadow = self.shadow.take().filter(|(s, _)| other(s));

        match role {
            Role::Active => {
                let before = self.active.replace(snapshot.clone());
                self.standby = before.filter(other).or(self.standby.take()).filter(other);
            }
            Role::Canary(share) => self.canary = Some((snapshot.clone(), share)),
            Role::Shadow(share) => self.shadow = Some((snapshot.clone(), share)),
            Role::Staged | Role::Retired => {}
        }
    }
}
