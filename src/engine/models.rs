//! The registry: which snapshot answers whom now, and which are kept on disk. Whatever
//! changes is noted on disk first, then answered from; requests under way end with the
//! snapshot they began with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::options::ModelOptions;
use crate::domain::{Error, Generation, Offset, Result};
use crate::model::roles::{Part, Role, Roles};
use crate::model::{Manifest, Snapshot, disk};

/// The snapshots that take part in serving; replaced whole, never changed.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// The one that answers.
    active: Option<Arc<Snapshot>>,
    /// The one that answers a share of the shoppers.
    canary: Option<(Arc<Snapshot>, f64)>,
    /// The one that is compared on a share of the requests.
    shadow: Option<(Arc<Snapshot>, f64)>,
    /// The one that answered before, in memory so that going back is a matter of an instant.
    standby: Option<Arc<Snapshot>>,
    /// What is noted on disk of all that are kept.
    roles: Roles,
}

/// The models of a store.
#[derive(Debug)]
pub struct Models {
    folder: PathBuf,
    options: ModelOptions,
    published: ArcSwap<Published>,
    generation: watch::Sender<Generation>,
    /// Held while what answers, or what is kept, changes.
    changing: Mutex<()>,
}

impl Models {
    /// Serves from `folder` what is noted there, or else the newest whole snapshot that fits
    /// a log of `offset` records.
    pub(crate) fn open(folder: PathBuf, offset: Offset, options: ModelOptions) -> Self {
        disk::sweep(&folder);
        let mut roles = disk::roles(&folder);
        let fitting = |generation| disk::load_fitting(&folder, generation, offset).map(Arc::new);
        let part = |part: Option<Part>| part.and_then(|p| Some((fitting(p.generation)?, p.share)));
        let (canary, shadow) = (part(roles.canary), part(roles.shadow));
        let ordinary = |generation| roles.of(generation, 0) == Role::Retired;
        let newest = || disk::load_newest(&folder, offset, ordinary).map(Arc::new);
        let active = roles.active.and_then(fitting).or_else(newest);
        let generation = active.as_ref().map_or(0, |s| s.manifest.generation);
        // What cannot be read has no part in serving.
        roles.canary = roles.canary.filter(|_| canary.is_some());
        roles.shadow = roles.shadow.filter(|_| shadow.is_some());
        roles.active = Some(generation).filter(|&generation| generation > 0);
        roles.answered.retain(|&answered| answered != generation);
        let published = Published { active, canary, shadow, standby: None, roles };
        Self {
            folder,
            options,
            published: ArcSwap::from_pointee(published),
            generation: watch::Sender::new(generation),
            changing: Mutex::default(),
        }
    }

    /// Where the log ended for the newest snapshot in `folder`, whole or not.
    pub(crate) fn newest_offset(folder: &Path) -> Option<Offset> {
        disk::list(folder).iter().map(|manifest| manifest.offset).max()
    }

    /// The snapshot that answers now; a request asks once and keeps it.
    pub fn active(&self) -> Option<Arc<Snapshot>> {
        self.published.load().active.clone()
    }

    /// The snapshot that answers a shopper now: the canary for its share of them, the same
    /// ones as long as it is the canary. Strangers get the active one.
    pub fn of_user(&self, user_id: &str) -> Option<Arc<Snapshot>> {
        let published = self.published.load();
        let canary = published.canary.as_ref().filter(|(canary, share)| {
            let salt = canary.manifest.generation;
            !user_id.is_empty() && falls_within(*share, xxh3_64_with_seed(user_id.as_bytes(), salt))
        });
        canary.map(|(canary, _)| canary).or(published.active.as_ref()).cloned()
    }

    /// The snapshot to compare on a request that `draw` was drawn for, if it is among its
    /// share.
    pub(crate) fn shadow(&self, draw: u64) -> Option<Arc<Snapshot>> {
        let published = self.published.load();
        let shadow = published.shadow.as_ref().filter(|(_, share)| falls_within(*share, draw));
        shadow.map(|(shadow, _)| shadow.clone())
    }

    /// Its generation; 0 before the first.
    pub fn generation(&self) -> Generation {
        *self.generation.borrow()
    }

    /// The generation that answers, and every change to come.
    pub fn watch(&self) -> watch::Receiver<Generation> {
        self.generation.subscribe()
    }

    /// The models kept on disk, newest first.
    pub fn list(&self) -> Vec<Manifest> {
        disk::list(&self.folder)
    }

    /// What a generation is for.
    pub fn role(&self, generation: Generation) -> Role {
        self.published.load().roles.of(generation, self.generation())
    }

    /// A kept snapshot's manifest.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept.
    pub fn find(&self, generation: Generation) -> Result<Manifest> {
        let found = self.list().into_iter().find(|manifest| manifest.generation == generation);
        found.ok_or_else(|| Error::NotFound { kind: "model", id: generation.to_string() })
    }

    /// A kept snapshot whole: from memory where it is there.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept, [`Error::Storage`] where it cannot be read.
    pub fn load(&self, generation: Generation) -> Result<Arc<Snapshot>> {
        let published = Published::clone(&self.published.load());
        if let Some(held) = published.holding(generation) {
            return Ok(held);
        }
        self.find(generation)?;
        disk::load(&self.folder, generation).map(Arc::new).map_err(storage)
    }

    /// The next free generation.
    pub(crate) fn next_generation(&self) -> Generation {
        self.generation().max(disk::newest_generation(&self.folder)) + 1
    }

    /// Removes the snapshots, but not the one that answers, of which `concerns` says so for
    /// the records they were trained on, and those that cannot be read.
    pub(crate) fn remove_idle(&self, concerns: impl Fn(Offset) -> bool) {
        let _changing = self.changing.lock();
        let active = self.generation();
        let mut published = Published::clone(&self.published.load());
        let gone = |s: &Arc<Snapshot>| concerns(s.manifest.offset);
        let parts = [&mut published.canary, &mut published.shadow];
        for part in parts.into_iter().filter(|p| p.as_ref().is_some_and(|(s, _)| gone(s))) {
            published.roles.forget(part.take().map_or(0, |(s, _)| s.manifest.generation));
        }
        published.standby = published.standby.take().filter(|s| !gone(s));
        disk::retain(&self.folder, |manifest| {
            manifest.generation == active || !concerns(manifest.offset)
        });
        let kept: Vec<Generation> = self.list().iter().map(|m| m.generation).collect();
        published.roles.retain(|generation| kept.contains(&generation));
        self.serve_anyway(published);
    }

    /// Removes the snapshot that answers: none does any more.
    pub(crate) fn remove_active(&self) {
        let _changing = self.changing.lock();
        let active = self.generation();
        self.serve_anyway(Published::default());
        self.generation.send_replace(0);
        // Its number is not given out again.
        disk::note_generation(&self.folder, active);
        disk::retain(&self.folder, |manifest| manifest.generation != active);
    }

    /// Persists a snapshot, then gives it its role, then drops the oldest that are too many;
    /// returns its manifest. One at a time: the number must be free.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk refuses; all goes on as before.
    pub(crate) fn publish(&self, mut snapshot: Snapshot, role: Role) -> Result<Manifest> {
        // Without the lock, for a large one takes its time and going back must not wait.
        disk::save(&self.folder, &mut snapshot).map_err(storage)?;
        let _changing = self.changing.lock();
        let manifest = snapshot.manifest.clone();
        self.change(Arc::new(snapshot), role).inspect_err(|_| {
            disk::retain(&self.folder, |kept| kept.generation != manifest.generation);
        })?;
        self.drop_oldest(manifest.generation);
        Ok(manifest)
    }

    /// Gives a kept snapshot a role, from now on and after a restart; returns its manifest.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept; [`Error::NotReady`] where that would leave
    /// nothing to answer; [`Error::Storage`] where it cannot be read or the role not be noted:
    /// all goes on as before.
    pub(crate) fn assign(&self, generation: Generation, role: Role) -> Result<Manifest> {
        let snapshot = self.load(generation)?;
        let _changing = self.changing.lock();
        let manifest = self.find(generation)?;
        if generation == self.generation() && role != Role::Active {
            let message = format!("generation {generation} answers now; activate another first");
            return Err(Error::NotReady(message));
        }
        self.change(snapshot, role)?;
        tracing::info!(generation, ?role, "model assigned");
        Ok(manifest)
    }

    /// Lets the kept snapshot answer that did before.
    ///
    /// # Errors
    /// [`Error::NotReady`] where there is none; as [`Models::assign`].
    pub(crate) fn rollback(&self) -> Result<Manifest> {
        let _changing = self.changing.lock();
        let kept: Vec<Generation> = self.list().iter().map(|m| m.generation).collect();
        let mut published = Published::clone(&self.published.load());
        published.roles.retain(|generation| kept.contains(&generation));
        let none = || Error::NotReady("no model that answered before is kept".to_owned());
        let before = published.roles.go_back().ok_or_else(none)?;
        let snapshot = self.load(before)?;
        published.roles.assign(before, Role::Active);
        let manifest = snapshot.manifest.clone();
        published.give(&snapshot, Role::Active);
        self.serve_active(published)?;
        tracing::info!(generation = before, "gone back to the model before");
        Ok(manifest)
    }

    /// Removes a kept snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept, [`Error::NotReady`] for one that takes part
    /// in serving, [`Error::Storage`] where that cannot be noted.
    pub(crate) fn delete(&self, generation: Generation) -> Result<()> {
        let _changing = self.changing.lock();
        self.find(generation)?;
        let does = match self.role(generation) {
            Role::Active => "answers now",
            Role::Canary(_) => "is the canary",
            Role::Shadow(_) => "is the shadow",
            Role::Staged | Role::Retired => "",
        };
        if !does.is_empty() {
            let message = format!("generation {generation} {does}; give it another role first");
            return Err(Error::NotReady(message));
        }
        disk::note_generation(&self.folder, disk::newest_generation(&self.folder));
        let mut published = Published::clone(&self.published.load());
        published.roles.forget(generation);
        published.standby = published.standby.filter(|s| s.manifest.generation != generation);
        self.serve(published)?;
        disk::retain(&self.folder, |manifest| manifest.generation != generation);
        Ok(())
    }

    /// Gives a snapshot a role.
    fn change(&self, snapshot: Arc<Snapshot>, role: Role) -> Result<()> {
        let mut published = Published::clone(&self.published.load());
        published.give(&snapshot, role);
        published.roles.assign(snapshot.manifest.generation, role);
        self.serve_active(published)
    }

    /// Notes roles, serves by them, and tells if another answers then.
    fn serve_active(&self, mut published: Published) -> Result<()> {
        let fits = |s: &Arc<Snapshot>| s.manifest.bytes <= self.options.standby_mib << 20;
        published.standby = published.standby.filter(fits);
        let active = published.active.as_ref().map_or(0, |s| s.manifest.generation);
        self.serve(published)?;
        self.generation.send_if_modified(|now| std::mem::replace(now, active) != active);
        Ok(())
    }

    /// Notes roles, then serves by them.
    fn serve(&self, published: Published) -> Result<()> {
        disk::set_roles(&self.folder, &published.roles).map_err(storage)?;
        self.published.store(Arc::new(published));
        Ok(())
    }

    /// The same where there is no way back: what the disk may then still say is looked for in
    /// vain at the next start.
    fn serve_anyway(&self, published: Published) {
        if let Err(error) = disk::set_roles(&self.folder, &published.roles) {
            tracing::warn!(%error, "what models are for could not be noted");
        }
        self.published.store(Arc::new(published));
    }

    /// Removes the oldest snapshots that are too many or too large together, of those that
    /// retired and of those that wait: not the `newest`, nor the one that going back leads to,
    /// nor those that take part in serving.
    fn drop_oldest(&self, newest: Generation) {
        let mut published = Published::clone(&self.published.load());
        let before = published.roles.answered.last().copied();
        let mut bytes = 0;
        let mut kept: Vec<Generation> = Vec::new();
        let (mut waiting, mut retired) = (0, 0);
        let mut all = self.list();
        // Those that stay whatever they take come first, then those that wait.
        let rank = |generation| match self.role(generation) {
            _ if generation == newest || Some(generation) == before => 0,
            Role::Active | Role::Canary(_) | Role::Shadow(_) => 0,
            Role::Staged => 1,
            Role::Retired => 2,
        };
        all.sort_by_key(|m| (rank(m.generation), std::cmp::Reverse(m.generation)));
        for manifest in all {
            bytes += manifest.bytes;
            let room = self.options.keep_mib == 0 || bytes <= self.options.keep_mib << 20;
            let count = match self.role(manifest.generation) {
                Role::Staged => &mut waiting,
                Role::Retired => &mut retired,
                Role::Active | Role::Canary(_) | Role::Shadow(_) => &mut 0,
            };
            *count += 1;
            if rank(manifest.generation) == 0 || (room && *count <= self.options.keep) {
                kept.push(manifest.generation);
            } else {
                bytes -= manifest.bytes;
            }
        }
        disk::note_generation(&self.folder, disk::newest_generation(&self.folder));
        disk::retain(&self.folder, |manifest| kept.contains(&manifest.generation));
        published.roles.retain(|generation| kept.contains(&generation));
        self.serve_anyway(published);
    }
}

impl Published {
    fn holding(&self, generation: Generation) -> Option<Arc<Snapshot>> {
        let parts = [&self.canary, &self.shadow].into_iter().flatten().map(|(held, _)| held);
        let mut held = [&self.active, &self.standby].into_iter().flatten().chain(parts);
        held.find(|held| held.manifest.generation == generation).cloned()
    }

    /// Gives a snapshot a role, and takes any other from it.
    fn give(&mut self, snapshot: &Arc<Snapshot>, role: Role) {
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

/// Whether a random number falls within a share of all.
fn falls_within(share: f64, draw: u64) -> bool {
    (draw as f64) < share * 2f64.powi(64)
}

fn storage(error: impl std::fmt::Display) -> Error {
    Error::Storage(error.to_string())
}
