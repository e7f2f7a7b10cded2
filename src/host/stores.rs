//! The stores of a data folder: opened with the process, created and deleted while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::hosted::Hosted;
use super::settings::{self, Limits, StoreSettings};
use super::tombstones::{self, Tombstone};
use crate::domain::{Error, Result, limits, now_ms};
use crate::engine::options::EngineOptions;
use crate::engine::{DEFAULT_STORE, Engine, Threads};
use crate::engine::{LimitOptions, TrainOptions};
use crate::store::files;

/// Why a store is not open while it is deleted.
const DELETING: &str = "it is being deleted";
/// Maximum number of stores.
const MAX_STORES: usize = 1_000;
/// Time that requests to a deleted store get to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The stores of a process. Dropping it closes them.
#[derive(Debug)]
pub struct Host {
    pub(super) data: PathBuf,
    options: ArcSwap<EngineOptions>,
    threads: Threads,
    stores: RwLock<BTreeMap<String, Slot>>,
    /// Held while a store is created or deleted.
    pub(super) changing: Mutex<()>,
    pub(super) changes: watch::Sender<()>,
}

/// A store of the data folder.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    Open(Arc<Hosted>),
    /// It did not open, or is being deleted: for this reason there is none.
    Failed(String),
}

/// A store in a listing.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The store, or the reason why it did not open.
    pub store: Result<Arc<Hosted>, String>,
}

impl Host {
    /// Opens every store of the data folder, and the default one in any case. One that does not
    /// open leaves the others: it is logged, listed, and its requests are refused.
    ///
    /// # Errors
    /// [`Error::Storage`] where the default store does not open, or the folder cannot be read.
    pub fn open(data: &Path, options: EngineOptions) -> Result<Self> {
        let threads = Threads::start(options.train.threads)?;
        let host = Self {
            data: data.to_owned(),
            options: ArcSwap::from_pointee(options),
            threads,
            stores: RwLock::default(),
            changing: Mutex::default(),
            changes: watch::Sender::new(()),
        };

        // Its lock shows that no other process has the folder: what this does to it is safe.
        let default = host.open_store(DEFAULT_STORE)?;
        if let Err(error) = files::make_private(data) {
            tracing::warn!(%error, "the data folder keeps its permissions; the stores in it are private");
        }
        sweep_deleted(data)?;
        host.finish_deletions();
        host.put(DEFAULT_STORE, Slot::Open(Arc::new(default)));
        for name in names(data)? {
            let slot = match host.open_store(&name) {
                Ok(store) => Slot::Open(Arc::new(store)),
                Err(error) => {
                    tracing::error!(store = name, %error, "a store does not open");
                    Slot::Failed(error.to_string())
                }
            };
            host.put(&name, slot);
        }
        Ok(host)
    }

    pub(super) fn open_store(&self, name: &str) -> Result<Hosted> {
        let configured = self.options.load();
        let options = EngineOptions { store: name.to_owned(), ..EngineOptions::clone(&configured) };
        let settings = settings::read(&self.data, name)?.unwrap_or_default();
        let engine = Engine::open_beside(&self.data, options, &self.threads)?;
        engine.set_limits(settings.limits.in_force(&configured.limits));
        Ok(Hosted::new(name, engine, settings))
    }

    /// Puts other settings of trainings and limits in force, for all stores.
    pub fn reload(&self, train: TrainOptions, limits: LimitOptions) {
        let _changing = self.changing.lock();
        let options = EngineOptions { train, limits, ..EngineOptions::clone(&self.options.load()) };
        for store in self.list().into_iter().filter_map(|listed| listed.store.ok()) {
            store.engine.set_train_options(options.train.clone());
            store.engine.set_limits(store.settings().limits.in_force(&options.limits));
        }
        self.options.store(Arc::new(options));
    }

    pub(super) fn put(&self, name: &str, slot: Slot) {
        self.stores.write().insert(name.to_owned(), slot);
    }

    /// Every creation and deletion to come.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Lists that wait for a request thread or run on one, of all stores.
    pub fn waiting_requests(&self) -> usize {
        self.threads.waiting_requests()
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A store by its name.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown name, [`Error::Storage`] for a store that did not open.
    pub fn store(&self, name: &str) -> Result<Arc<Hosted>> {
        match self.stores.read().get(name) {
            Some(Slot::Open(store)) => Ok(store.clone()),
            Some(Slot::Failed(_)) => {
                let what = format!("the store {name} is not open; the server's log has the reason");
                Err(Error::Storage(what.into()))
            }
            None => Err(Error::NotFound { kind: "store", id: name.to_owned() }),
        }
    }

    /// All stores, in the order of their names.
    pub fn list(&self) -> Vec<Listed> {
        let listed = |(name, slot): (&String, &Slot)| Listed {
            name: name.clone(),
            store: match slot {
                Slot::Open(store) => Ok(store.clone()),
                Slot::Failed(error) => Err(error.clone()),
            },
        };
        self.stores.read().iter().map(listed).collect()
    }

    /// Creates an empty store and opens it. Call it from a thread that may block.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a field beyond its limit, [`Error::AlreadyExists`] for a name that is
    /// taken, [`Error::Full`] where there are 1,000 stores, [`Error::Storage`] where the disk fails.
    pub fn create(&self, name: &str, limits: Limits) -> Result<Arc<Hosted>> {
        limits::name("name", name)?;
        limits.validate(&self.options.load().limits)?;
        let _changing = self.changing.lock();
        if self.stores.read().contains_key(name) {
            return Err(Error::AlreadyExists { kind: "store", id: name.to_owned() });
        }
        if self.stores.read().len() >= MAX_STORES {
            return Err(Error::Full(format!("there are {MAX_STORES} stores, the maximum")));
        }

        if settings::folder(&self.data, name).exists() {
            let what = format!("the folder of stores has {name} already, which is not a store");
            return Err(Error::Storage(what.into()));
        }

        // A crash after this line leaves an empty store, which the next start opens.
        settings::write(&self.data, name, &StoreSettings { created_ms: now_ms(), limits })?;
        let opened = self.open_store(name);
        let opened = opened.inspect_err(|e| self.put(name, Slot::Failed(e.to_string())));
        let store = Arc::new(opened?);
        self.put(name, Slot::Open(store.clone()));
        self.changes.send_replace(());
        Ok(store)
    }

    /// Replaces the limits of a store, from its next write and request on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a field beyond its limit, [`Error::NotFound`] for an unknown name,
    /// [`Error::Storage`] where the disk fails.
    pub fn limit(&self, name: &str, limits: Limits) -> Result<Arc<Hosted>> {
        limits.validate(&self.options.load().limits)?;
        let _changing = self.changing.lock();
        let store = self.store(name)?;
        let settings = StoreSettings::clone(&store.settings());
        let settings = StoreSettings { limits: limits.clone(), ..settings };
        settings::write(&self.data, name, &settings)?;
        store.engine.set_limits(limits.in_force(&self.options.load().limits));
        store.limit(limits);
        Ok(store)
    }

    /// Deletes a store with everything in it. Its requests are refused at once; those that run get
    /// 30 seconds to end. Call it from a thread that may block.
    ///
    /// # Errors
    /// [`Error::NotReady`] for the default store, [`Error::NotFound`] for an unknown name,
    /// [`Error::Storage`] where the disk fails.
    pub fn delete(&self, name: &str) -> Result<()> {
        if name == DEFAULT_STORE {
            let why = format!(
                "the store {DEFAULT_STORE} cannot be deleted; stop the server and remove its folder"
            );
            return Err(Error::NotReady(why));
        }

        let slot = self.take(name)?;
        if let Slot::Open(store) = slot {
            let created_ms = store.settings().created_ms;
            close(store);
            tombstones::note(&self.data, Tombstone { name: name.to_owned(), created_ms })
                .inspect_err(|error| self.put(name, Slot::Failed(error.to_string())))?;
        }

        let _changing = self.changing.lock();
        let removed = self.remove_folder(name);
        match &removed {
            Ok(()) => drop(self.stores.write().remove(name)),
            Err(error) => self.put(name, Slot::Failed(format!("its deletion failed: {error}"))),
        }
        self.changes.send_replace(());
        removed
    }

    /// Takes a store out of use; its name stays taken until its folder is removed.
    fn take(&self, name: &str) -> Result<Slot> {
        let _changing = self.changing.lock();
        let mut stores = self.stores.write();
        let slot = stores.get_mut(name);
        let slot = slot.ok_or_else(|| Error::NotFound { kind: "store", id: name.to_owned() })?;
        if matches!(slot, Slot::Failed(why) if why == DELETING) {
            return Err(Error::NotReady(format!("the store {name} is being deleted already")));
        }
        Ok(std::mem::replace(slot, Slot::Failed(DELETING.to_owned())))
    }

    /// Removes the folder of a closed store. Its name is free from the renaming on, and a crash
    /// afterwards removes the rest at the next start.
    fn remove_folder(&self, name: &str) -> Result<()> {
        let from = settings::folder(&self.data, name);
        let to = deleted_folder(&self.data).join(format!("{name}-{}", uuid::Uuid::now_v7()));
        let failed =
            |e: std::io::Error| Error::Storage(format!("delete {}: {e}", from.display()).into());
        files::create_folder(&deleted_folder(&self.data)).map_err(failed)?;
        files::rename_folder(&from, &to).map_err(failed)?;
        if let Err(error) = files::remove_folder(&to) {
            tracing::warn!(%error, path = %to.display(), "a deleted store is removed at the next start");
        }
        Ok(())
    }

    /// Removes the stores whose deletion was cut short: followers know of it already.
    fn finish_deletions(&self) {
        let finish = |Tombstone { name, created_ms }: Tombstone| {
            let left = settings::read(&self.data, &name)?;
            if name != DEFAULT_STORE && left.is_some_and(|left| left.created_ms == created_ms) {
                tracing::info!(store = name, "its deletion, which was cut short, is finished");
                self.remove_folder(&name)?;
            }
            Ok(())
        };
        let finished = tombstones::read(&self.data)
            .and_then(|all| all.into_iter().map(finish).collect::<Result<Vec<()>>>());
        if let Err(error) = finished {
            tracing::warn!(%error, "a deletion that was cut short is not finished");
        }
    }

    /// Begins to close all stores, as [`Engine::close`] does.
    pub fn close(&self) {
        for listed in self.list() {
            listed.store.iter().for_each(|store| store.engine.close());
        }
    }
}

/// Whether the data folder has a store of this name; the default one in any case.
pub fn exists(data: &Path, name: &str) -> bool {
    let is_name = limits::name("name", name).is_ok();
    name == DEFAULT_STORE || is_name && settings::folder(data, name).is_dir()
}

/// Ends trainings and watches of a store, and waits for its requests.
fn close(store: Arc<Hosted>) {
    store.engine.close();
    let until = Instant::now() + PATIENCE;
    let is_held = || Arc::strong_count(&store) > 1 || Arc::strong_count(&store.engine) > 1;
    while is_held() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    if is_held() {
        tracing::warn!(store = store.name, "requests to a deleted store do not end");
    }
}

/// Where folders of deleted stores are until they are removed.
fn deleted_folder(data: &Path) -> PathBuf {
    data.join("deleted")
}

/// Removes what an interrupted deletion left.
fn sweep_deleted(data: &Path) -> Result<()> {
    let folder = deleted_folder(data);
    let failed =
        |e: std::io::Error| Error::Storage(format!("remove {}: {e}", folder.display()).into());
    files::remove_folder(&folder).map_err(failed)
}

/// The names of the stores in a data folder, in order; without the default one.
fn names(data: &Path) -> Result<Vec<String>> {
    let folder = data.join("stores");
    let failed =
        |e: std::io::Error| Error::Storage(format!("list {}: {e}", folder.display()).into());
    let mut found = files::names(&folder).map_err(failed)?;
    found.retain(|name| {
        let is_name = limits::name("name", name).is_ok();
        if !is_name {
            tracing::warn!(name, "no store: the folder of stores holds another thing");
        }
        is_name && name != DEFAULT_STORE
    });
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_that_was_cut_short_is_finished_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Host::open(folder.path(), EngineOptions::default()).unwrap();
        let host = open();
        let created = |name: &str| {
            let created_ms = host.create(name, Limits::default()).unwrap().settings().created_ms;
            Tombstone { name: name.to_owned(), created_ms }
        };
        let (eu, us) = (created("eu"), created("us"));
        drop(host);
        tombstones::note(folder.path(), eu).unwrap();
        // One of the name that was deleted before.
        tombstones::note(folder.path(), Tombstone { created_ms: us.created_ms - 1, ..us }).unwrap();

        let host = open();
        assert!(matches!(host.store("eu"), Err(Error::NotFound { .. })));
        assert!(host.store("us").is_ok());
        assert!(!folder.path().join("stores/eu").exists());
    }
}
