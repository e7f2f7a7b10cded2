//! The registry's operations. Every change is recorded on disk before it is served; running
//! requests keep the snapshot they began with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::published::{Published, ServingModel};
use super::retention::beyond_limits;
use crate::domain::{BoxError, Error, Generation, Offset, Result};
use crate::engine::options::ModelOptions;
use crate::model::roles::{Part, Role};
use crate::model::{Manifest, Prepared, Snapshot, disk};

/// The models of a store.
#[derive(Debug)]
pub struct Models {
    pub(super) folder: PathBuf,
    options: ModelOptions,
    pub(super) published: ArcSwap<Published>,
    generation: watch::Sender<Generation>,
    /// The highest generation given out.
    highest: AtomicU64,
    /// Held while the published set or the kept snapshots change.
    pub(super) changing: Mutex<()>,
}

impl Models {
    /// Opens the registry of `folder`: serves the recorded roles, or the newest whole snapshot.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails: what cannot be read is not treated as absent.
    pub(in crate::engine) fn open(folder: PathBuf, options: ModelOptions) -> Result<Self> {
        disk::sweep(&folder).map_err(storage)?;
        let highest = disk::newest_generation(&folder).map_err(storage)?;
        let mut roles = disk::roles(&folder).map_err(storage)?;

        let whole = |generation| -> Result<_> {
            Ok(disk::load_whole(&folder, generation).map_err(storage)?.map(Arc::new))
        };
        let part = |part: Option<Part>| -> Result<_> {
            let Some(Part { generation, share }) = part else { return Ok(None) };
            Ok(whole(generation)?.map(|snapshot| (snapshot, share)))
        };
        let canary = part(roles.canary)?;
        let shadow = part(roles.shadow)?;

        let noted = roles.active.map(whole).transpose()?.flatten();
        let ordinary = |generation| roles.of(generation, 0) == Role::Retired;
        let active = match noted {
            Some(active) => Some(active),
            None => disk::load_newest(&folder, ordinary).map_err(storage)?.map(Arc::new),
        };

        // A damaged snapshot has no role.
        let generation = active.as_ref().map_or(0, |s| s.manifest.generation);
        roles.canary = roles.canary.filter(|_| canary.is_some());
        roles.shadow = roles.shadow.filter(|_| shadow.is_some());
        roles.active = Some(generation).filter(|&generation| generation > 0);
        roles.answered.retain(|&answered| answered != generation);
        let published = Published { active, canary, shadow, standby: None, roles };
        Ok(Self {
            folder,
            options,
            published: ArcSwap::from_pointee(published),
            generation: watch::Sender::new(generation),
            highest: AtomicU64::new(highest),
            changing: Mutex::default(),
        })
    }

    /// The end of the log for the newest snapshot in `folder`, whole or not.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails.
    pub(in crate::engine) fn newest_offset(folder: &Path) -> Result<Option<Offset>> {
        let manifests = disk::list(folder).map_err(storage)?;
        Ok(manifests.iter().map(|manifest| manifest.offset).max())
    }

    /// Checks that no snapshot in `folder` was trained on more than a log that ends at `end` has:
    /// its ids would be those of other users and items. Where loss is accepted, such snapshots are
    /// set aside.
    ///
    /// # Errors
    /// [`Error::Storage`] with the ends of the log and of the snapshot.
    pub(in crate::engine) fn check_within(
        folder: &Path,
        end: Offset,
        accept_loss: bool,
    ) -> Result<()> {
        for manifest in disk::list(folder).map_err(storage)? {
            let generation = manifest.generation;
            let known = manifest.known_offset();
            if known <= end {
                continue;
            }

            if !accept_loss {
                let what = format!(
                    "the log ends at offset {end}, and model {generation} was made of records up \
                     to {known}: a file of the log is lost, or older than the models. Restore it \
                     from a backup; or start once with --accept-log-loss to continue without the lost records, and without such models"
                );
                return Err(Error::Storage(what.into()));
            }

            disk::set_aside(folder, generation).map_err(storage)?;
            tracing::warn!(generation, "setting aside a model that was trained on lost records");
        }
        Ok(())
    }

    /// The active snapshot; a request loads it once and keeps it.
    pub fn active(&self) -> Option<Arc<Snapshot>> {
        self.published.load().active.clone()
    }

    /// The models with a role in serving, the active one first.
    pub(in crate::engine) fn serving(&self) -> Vec<ServingModel> {
        self.published.load().serving()
    }

    /// Bytes of all snapshots in memory.
    pub(in crate::engine) fn loaded_bytes(&self) -> u64 {
        let published = self.published.load();
        let parts = [&published.canary, &published.shadow].into_iter().flatten();
        let parts = parts.map(|(snapshot, _)| snapshot);
        let whole = [&published.active, &published.standby].into_iter().flatten();
        whole.chain(parts).map(|snapshot| snapshot.manifest.bytes).sum()
    }

    /// The snapshot that answers a user: the canary for its share of users, always the same ones;
    /// otherwise, and for anonymous users, the active one.
    pub fn of_user(&self, user_id: &str) -> Option<Arc<Snapshot>> {
        let published = self.published.load();
        let canary = published.canary.as_ref().filter(|(canary, share)| {
            let salt = canary.manifest.generation;
            !user_id.is_empty() && falls_within(*share, xxh3_64_with_seed(user_id.as_bytes(), salt))
        });
        canary.map(|(canary, _)| canary).or(published.active.as_ref()).cloned()
    }

    /// The shadow, if the random number `draw` falls within its share of requests.
    pub(in crate::engine) fn shadow(&self, draw: u64) -> Option<Arc<Snapshot>> {
        let published = self.published.load();
        let shadow = published.shadow.as_ref().filter(|(_, share)| falls_within(*share, draw));
        shadow.map(|(shadow, _)| shadow.clone())
    }

    /// The active generation; 0 before the first.
    pub fn generation(&self) -> Generation {
        *self.generation.borrow()
    }

    /// The active generation, and every change to come.
    pub fn watch(&self) -> watch::Receiver<Generation> {
        self.generation.subscribe()
    }

    /// The kept models, newest first.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails.
    pub fn list(&self) -> Result<Vec<Manifest>> {
        disk::list(&self.folder).map_err(storage)
    }

    /// The role of a generation.
    pub fn role(&self, generation: Generation) -> Role {
        self.published.load().roles.of(generation, self.generation())
    }

    /// The manifest of a kept snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept, [`Error::Storage`] where the disk fails.
    pub fn find(&self, generation: Generation) -> Result<Manifest> {
        let found = disk::find(&self.folder, generation).map_err(storage)?;
        found.ok_or_else(|| Error::NotFound { kind: "model", id: generation.to_string() })
    }

    /// A kept snapshot, from memory if it is there.
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

    /// Whether a kept snapshot's bytes are what was written.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails.
    pub(in crate::engine) fn is_whole(&self, generation: Generation) -> Result<bool> {
        let loaded = disk::load_whole(&self.folder, generation).map_err(storage)?;
        Ok(loaded.is_some())
    }

    /// The next generation: above all that were ever given out.
    ///
    /// # Errors
    /// [`Error::Storage`] where there is none.
    pub(in crate::engine) fn next_generation(&self) -> Result<Generation> {
        let next = self.highest.load(Ordering::Relaxed).checked_add(1);
        next.ok_or_else(|| Error::Storage("no generation is left to give out".into()))
    }

    /// Records the highest generation on disk, so that its number is not given out again.
    fn note_highest(&self) -> Result<()> {
        disk::note_generation(&self.folder, self.highest.load(Ordering::Relaxed)).map_err(storage)
    }

    /// Removes damaged snapshots and those, except the active one, that may know a user erased by the
    /// record at `newest`.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails; some may remain then.
    pub(in crate::engine) fn remove_idle(&self, newest: Offset) -> Result<()> {
        let _changing = self.changing.lock();
        let active = self.generation();
        let concerns = |manifest: &Manifest| manifest.erased_to() <= newest;
        let mut published = Published::clone(&self.published.load());
        let gone = |s: &Arc<Snapshot>| concerns(&s.manifest);
        let parts = [&mut published.canary, &mut published.shadow];
        for part in parts.into_iter().filter(|p| p.as_ref().is_some_and(|(s, _)| gone(s))) {
            published.roles.forget(part.take().map_or(0, |(s, _)| s.manifest.generation));
        }

        published.standby = published.standby.take().filter(|s| !gone(s));
        self.serve_anyway(published);

        self.note_highest()?;
        let superfluous = |manifest: Option<&Manifest>| {
            manifest.is_none_or(|m| m.generation != active && concerns(m))
        };
        disk::remove_where(&self.folder, superfluous).map_err(storage)?;

        // Snapshots that were set aside may know any user.
        disk::remove_set_aside(&self.folder).map_err(storage)?;

        let kept: Vec<Generation> = self.list()?.iter().map(|m| m.generation).collect();
        let mut published = Published::clone(&self.published.load());
        published.roles.retain(|generation| kept.contains(&generation));
        self.serve_anyway(published);
        Ok(())
    }

    /// Removes the active snapshot: none is active any more.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails; it is not active then, but may remain on disk.
    pub(in crate::engine) fn remove_active(&self) -> Result<()> {
        let _changing = self.changing.lock();
        let active = self.generation();
        self.serve_anyway(Published::default());
        self.generation.send_replace(0);
        self.note_highest()?;
        self.remove(active)
    }

    pub(super) fn remove(&self, generation: Generation) -> Result<()> {
        let it = |manifest: Option<&Manifest>| manifest.is_some_and(|m| m.generation == generation);
        disk::remove_where(&self.folder, it).map_err(storage)
    }

    /// Persists a snapshot, gives it its role, and removes the oldest beyond the limits; returns
    /// its manifest. The generation must be free.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails; nothing is changed then.
    pub(in crate::engine) fn publish(
        &self,
        mut snapshot: Snapshot,
        role: Role,
    ) -> Result<Manifest> {
        // Without the lock: saving takes long, and a rollback must not wait.
        disk::save(&self.folder, &mut snapshot).map_err(storage)?;
        let _changing = self.changing.lock();
        let manifest = snapshot.manifest.clone();
        self.change(Arc::new(snapshot), role).inspect_err(|_| {
            if let Err(error) = self.remove(manifest.generation) {
                tracing::warn!(%error, "a model without a role stays on disk");
            }
        })?;
        self.highest.fetch_max(manifest.generation, Ordering::Relaxed);

        if let Err(error) = self.drop_oldest(manifest.generation) {
            tracing::warn!(%error, "older models stay on disk");
        }
        Ok(manifest)
    }

    /// Attaches prepared lists to the active snapshot, if it is still this generation. They are not
    /// kept on disk.
    pub(in crate::engine) fn attach_lists(&self, generation: Generation, prepared: Arc<Prepared>) {
        let _changing = self.changing.lock();
        let mut published = Published::clone(&self.published.load());
        let Some(active) = published.active.filter(|a| a.manifest.generation == generation) else {
            return;
        };
        let mut with_lists = Snapshot::clone(&active);
        with_lists.parts.prepared = prepared;
        published.active = Some(Arc::new(with_lists));
        self.published.store(Arc::new(published));
    }

    /// Gives a kept snapshot a role, also after a restart; returns its manifest.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept; [`Error::NotReady`] where no snapshot would be
    /// active; [`Error::Storage`] where it cannot be read or the role cannot be recorded: nothing
    /// is changed then.
    pub(in crate::engine) fn assign(&self, generation: Generation, role: Role) -> Result<Manifest> {
        let snapshot = self.load(generation)?;
        let _changing = self.changing.lock();
        let manifest = self.find(generation)?;
        if generation == self.generation() && role != Role::Active {
            let message = format!("generation {generation} is active; activate another first");
            return Err(Error::NotReady(message));
        }
        self.change(snapshot, role)?;
        tracing::info!(generation, ?role, "model assigned");
        Ok(manifest)
    }

    /// Makes the kept snapshot active that was active before.
    ///
    /// # Errors
    /// [`Error::NotReady`] where there is none; as `Models::assign`.
    pub fn rollback(&self) -> Result<Manifest> {
        let _changing = self.changing.lock();
        let kept: Vec<Generation> = self.list()?.iter().map(|m| m.generation).collect();
        let mut published = Published::clone(&self.published.load());
        published.roles.retain(|generation| kept.contains(&generation));
        let none = || Error::NotReady("no model that was active before is kept".to_owned());
        let before = published.roles.go_back().ok_or_else(none)?;
        let snapshot = self.load(before)?;
        published.roles.assign(before, Role::Active);
        let manifest = snapshot.manifest.clone();
        published.give(&snapshot, Role::Active);
        self.serve_active(published)?;
        tracing::info!(generation = before, "rolled back to the model before");
        Ok(manifest)
    }

    /// Removes a kept snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept, [`Error::NotReady`] for one with a role in
    /// serving, [`Error::Storage`] where that cannot be recorded.
    pub fn delete(&self, generation: Generation) -> Result<()> {
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

        self.note_highest()?;
        let mut published = Published::clone(&self.published.load());
        published.roles.forget(generation);
        published.standby = published.standby.filter(|s| s.manifest.generation != generation);
        self.serve(published)?;
        self.remove(generation)
    }

    /// Gives a snapshot a role.
    fn change(&self, snapshot: Arc<Snapshot>, role: Role) -> Result<()> {
        let mut published = Published::clone(&self.published.load());
        published.give(&snapshot, role);
        published.roles.assign(snapshot.manifest.generation, role);
        self.serve_active(published)
    }

    /// Records roles, serves by them, and notifies of a new active generation.
    pub(super) fn serve_active(&self, mut published: Published) -> Result<()> {
        let fits = |s: &Arc<Snapshot>| s.manifest.bytes <= self.options.standby_mib << 20;
        published.standby = published.standby.filter(fits);
        let active = published.active.as_ref().map_or(0, |s| s.manifest.generation);
        self.serve(published)?;
        self.generation.send_if_modified(|now| std::mem::replace(now, active) != active);
        Ok(())
    }

    /// Records roles, then serves by them.
    fn serve(&self, published: Published) -> Result<()> {
        disk::set_roles(&self.folder, &published.roles).map_err(storage)?;
        self.published.store(Arc::new(published));
        Ok(())
    }

    /// Serves by roles even if they cannot be recorded, where there is no way back: at the next
    /// start the recorded snapshots are missing and ignored.
    fn serve_anyway(&self, published: Published) {
        if let Err(error) = disk::set_roles(&self.folder, &published.roles) {
            tracing::warn!(%error, "the roles of models could not be recorded");
        }
        self.published.store(Arc::new(published));
    }

    /// Removes the oldest snapshots beyond the limits of number and size, among retired and staged
    /// ones: not the `newest`, the target of a rollback, or one with a role in serving. Only
    /// snapshots that were read are removed.
    fn drop_oldest(&self, newest: Generation) -> Result<()> {
        let mut published = Published::clone(&self.published.load());
        let before = published.roles.answered.last().copied();
        let is_protected = |generation| generation == newest || Some(generation) == before;
        let role = |generation| self.role(generation);
        let dropped = beyond_limits(self.list()?, &self.options, role, is_protected);
        if dropped.is_empty() {
            return Ok(());
        }

        self.note_highest()?;
        let is_dropped = |manifest: Option<&Manifest>| {
            manifest.is_some_and(|manifest| dropped.contains(&manifest.generation))
        };
        disk::remove_where(&self.folder, is_dropped).map_err(storage)?;
        published.roles.retain(|generation| !dropped.contains(&generation));
        self.serve_anyway(published);
        Ok(())
    }
}

/// Whether a random number falls within a share.
fn falls_within(share: f64, draw: u64) -> bool {
    (draw as f64) < share * 2f64.powi(64)
}

pub(super) fn storage(error: impl Into<BoxError>) -> Error {
    Error::Storage(error.into())
}
