//! The snapshots that take part in serving.

use std::sync::Arc;

use crate::domain::Generation;
use crate::model::Snapshot;
use crate::model::roles::{Role, Roles};

/// The snapshots that take part in serving; replaced whole, never changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    /// The one that answers.
    pub(super) active: Option<Arc<Snapshot>>,
    /// The one that answers a share of the shoppers.
    pub(super) canary: Option<(Arc<Snapshot>, f64)>,
    /// The one that is compared on a share of the requests.
    pub(super) shadow: Option<(Arc<Snapshot>, f64)>,
    /// The one that answered before, in memory so that going back is a matter of an instant.
    pub(super) standby: Option<Arc<Snapshot>>,
    /// What is noted on disk of all that are kept.
    pub(super) roles: Roles,
}

impl Published {
    pub(super) fn holding(&self, generation: Generation) -> Option<Arc<Snapshot>> {
        let parts = [&self.canary, &self.shadow].into_iter().flatten().map(|(held, _)| held);
        let mut held = [&self.active, &self.standby].into_iter().flatten().chain(parts);
        held.find(|held| held.manifest.generation == generation).cloned()
    }

    /// Gives a snapshot a role, and takes any other from it.
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
