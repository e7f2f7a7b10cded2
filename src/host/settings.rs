//! The settings of a store, `DIR/stores/NAME/STORE`: a sealed JSON file. The store "default" has
//! one only after its limits were set.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::access::Quota;
use crate::domain::{Error, Result, Violation, limits};
use crate::engine::StoreLimits;
use crate::engine::options::LimitOptions;
use crate::store::files;
use crate::store::sealed::{seal, unseal};

/// The settings of a store.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Time of its creation in milliseconds since 1970; 0 where it is not known.
    pub created_ms: i64,
    /// Its limits.
    pub limits: Limits,
}

/// How large a store may become, and how fast it may be called; 0: as the server's configuration
/// says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Maximum number of users ever named.
    pub max_users: u64,
    /// Maximum number of items ever named.
    pub max_items: u64,
    /// Memory of its data and models in MiB beyond which writes that grow it are refused; 0: no
    /// limit of its own.
    pub memory_mib: u64,
    /// The rate of all requests to it.
    pub quota: Quota,
}

/// Maximum of [`Limits::memory_mib`].
const MAX_MIB: u64 = 1_000_000_000;

impl Limits {
    /// Checks the ranges: no limit may be above the configuration's.
    ///
    /// # Errors
    /// The field and its limit.
    pub fn validate(&self, options: &LimitOptions) -> Result<(), Violation> {
        let each = [
            ("max_users", self.max_users, options.max_users as u64),
            ("max_items", self.max_items, options.max_items as u64),
            ("memory_mib", self.memory_mib, MAX_MIB),
        ];
        for (name, value, max) in each {
            if value > max {
                let message = format!("must be 0 to {max}, was {value}");
                return Err(Violation::new(format!("limits.{name}"), message));
            }
        }
        self.quota.validate("limits.quota")
    }

    /// The limits in force, beside the configuration's.
    pub(super) fn in_force(&self, options: &LimitOptions) -> StoreLimits {
        let or = |own: u64, configured: usize| match own {
            0 => configured,
            own => usize::try_from(own).unwrap_or(usize::MAX).min(configured),
        };
        StoreLimits {
            max_users: or(self.max_users, options.max_users),
            max_items: or(self.max_items, options.max_items),
            memory_mib: self.memory_mib,
        }
    }
}

/// The folder of a store.
pub(super) fn folder(data: &Path, name: &str) -> PathBuf {
    data.join("stores").join(name)
}

/// The settings in the folder of a store; none where it has no file of them.
pub(super) fn read(data: &Path, name: &str) -> Result<Option<StoreSettings>> {
    let path = folder(data, name).join("STORE");
    let damaged = |what: String| Error::Storage(format!("{}: {what}", path.display()).into());
    let bytes = files::read_if_there(&path).map_err(|e| damaged(e.to_string()))?;
    bytes.map(|bytes| unseal(&bytes).map_err(damaged)).transpose()
}

/// Time of creation of a store in a data folder, in milliseconds since 1970; none where its folder does not say.
///
/// # Errors
/// [`Error::Storage`] where the disk fails, or the file is damaged.
pub fn created_ms(data: &Path, name: &str) -> Result<Option<i64>> {
    Ok(read(data, name)?.map(|settings| settings.created_ms))
}

/// Writes the settings into the folder of a store, which is created where it is missing.
pub(super) fn write(data: &Path, name: &str, settings: &StoreSettings) -> Result<()> {
    limits::name("name", name)?;
    let folder = folder(data, name);
    let path = folder.join("STORE");
    let failed =
        |e: std::io::Error| Error::Storage(format!("write {}: {e}", path.display()).into());
    let bytes = seal(settings).map_err(|e| failed(e.into()))?;
    files::create_folder(&folder).map_err(failed)?;
    files::replace(&path, &bytes).map_err(failed)
}
