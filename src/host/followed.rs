//! The stores of a server that follows another.

use std::sync::Arc;

use super::settings::{self, StoreSettings};
use super::stores::{Host, Listed, Slot};
use crate::domain::{Error, Result, limits};

impl Host {
    /// Has the stores that are `followed`, with their settings, and no others. Call it from a thread that may
    /// block.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails, or a store does not open.
    pub fn follow(&self, followed: &[(String, StoreSettings)]) -> Result<()> {
        for name in self.gone(followed) {
            tracing::info!(store = name, "the store that is followed is gone");
            self.delete(&name)?;
        }

        for (name, settings) in followed {
            limits::name("name", name)?;
            match self.store(name) {
                Ok(store) if store.settings().limits == settings.limits => {}
                Ok(_) => drop(self.limit(name, settings.limits.clone())?),
                Err(Error::NotFound { .. }) => self.create_copy(name, settings)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The copies that are not `followed` any more. What was written here is never one of them.
    fn gone(&self, followed: &[(String, StoreSettings)]) -> Vec<String> {
        let is_gone = |listed: &Listed| {
            let Ok(store) = &listed.store else { return false };
            let here = store.settings();
            let is_it = |(name, settings): &(String, StoreSettings)| {
                *name == listed.name && settings.created_ms == here.created_ms
            };
            here.is_copy && !followed.iter().any(is_it)
        };
        let gone = self.list().into_iter().filter(is_gone);
        gone.map(|listed| listed.name).collect()
    }

    /// Creates an empty store with the settings of one that is followed, and opens it.
    fn create_copy(&self, name: &str, settings: &StoreSettings) -> Result<()> {
        let _changing = self.changing.lock();
        let settings = StoreSettings { is_copy: true, ..settings.clone() };
        settings::write(&self.data, name, &settings)?;
        let store = self.open_store(name)?;
        self.put(name, Slot::Open(Arc::new(store)));
        self.changes.send_replace(());
        Ok(())
    }
}
