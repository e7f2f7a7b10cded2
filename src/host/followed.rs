//! The stores of a server that follows another.

use std::sync::Arc;

use super::settings::{self, StoreSettings};
use super::stores::{Host, Slot};
use super::tombstones::{self, Tombstone};
use crate::domain::{Error, Result, limits};
use crate::engine::DEFAULT_STORE;

impl Host {
    /// The stores that were deleted here, for followers.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails.
    pub fn tombstones(&self) -> Result<Vec<Tombstone>> {
        tombstones::read(&self.data)
    }

    /// Has the stores that are `followed`, with their limits, and none that was `deleted` there. Others stay as
    /// they are. Call it from a thread that may block.
    ///
    /// # Errors
    /// The first failure; what concerns other stores is done all the same.
    pub fn follow(
        &self,
        followed: &[(String, StoreSettings)],
        deleted: &[Tombstone],
    ) -> Result<()> {
        let deletions = deleted.iter().map(|tombstone| self.follow_deletion(tombstone));
        let mut outcomes: Vec<Result<()>> = deletions.collect();
        outcomes.extend(followed.iter().map(|(name, settings)| self.follow_store(name, settings)));
        outcomes.into_iter().collect()
    }

    /// Deletes the copy of a deleted store.
    fn follow_deletion(&self, tombstone: &Tombstone) -> Result<()> {
        let Tombstone { name, created_ms } = tombstone;
        let is_here =
            self.store(name).is_ok_and(|store| store.settings().created_ms == *created_ms);
        if !is_here || name == DEFAULT_STORE {
            return Ok(());
        }
        tracing::info!(store = name, "the store that is followed was deleted");
        self.delete(name)
    }

    fn follow_store(&self, name: &str, settings: &StoreSettings) -> Result<()> {
        limits::name("name", name)?;
        let store = match self.store(name) {
            Ok(store) => store,
            Err(Error::NotFound { .. }) => return self.create_copy(name, settings),
            Err(error) => return Err(error),
        };

        let here = store.settings();
        if name != DEFAULT_STORE && here.created_ms != settings.created_ms {
            let what =
                format!("the store {name} here is another one than the store that is followed");
            return Err(Error::Conflict(what));
        }
        if here.limits != settings.limits {
            self.limit(name, settings.limits.clone())?;
        }
        Ok(())
    }

    /// Creates an empty store with the settings of one that is followed, and opens it.
    fn create_copy(&self, name: &str, settings: &StoreSettings) -> Result<()> {
        let _changing = self.changing.lock();
        settings::write(&self.data, name, settings)?;
        let store = self.open_store(name)?;
        self.put(name, Slot::Open(Arc::new(store)));
        self.changes.send_replace(());
        Ok(())
    }
}
