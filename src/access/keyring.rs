//! All API keys of a data folder, in memory for requests and in a file that the command line may
//! change beside the server.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::file::{Changed, KeyFile, Stamp};
use super::key::{Key, KeySpec};
use super::quota::RateLimiter;
use super::secret::SecretHash;
use super::usage::Usage;
use super::{AccessError, secret};
use crate::domain::{Error, Result, Secret, now_ms};

/// Maximum number of keys, revoked ones included.
const MAX_KEYS: usize = 10_000;

/// A key in memory, with what counts its use.
#[derive(Debug, Clone)]
pub struct HeldKey {
    /// The key.
    pub key: Key,
    /// Counts against its quota.
    pub rate: Arc<RateLimiter>,
    /// What runs for it.
    pub usage: Arc<Usage>,
    last_used_ms: Arc<AtomicI64>,
    /// Set by its revocation, also for requests that hold the key from before.
    revoked: Arc<AtomicBool>,
}

impl HeldKey {
    fn new(key: Key) -> Self {
        let rate = Arc::new(RateLimiter::new(key.quota));
        let revoked = Arc::new(AtomicBool::new(key.revoked_ms.is_some()));
        Self { key, rate, usage: Arc::default(), last_used_ms: Arc::default(), revoked }
    }

    /// Whether it is valid now; asked for every request, and for every message of a stream.
    ///
    /// # Errors
    /// [`Refusal`] where it was revoked or has expired.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.revoked.load(Ordering::Relaxed) {
            return Err(Refusal::Revoked);
        }
        if self.key.is_expired(now_ms()) { Err(Refusal::Expired) } else { Ok(()) }
    }

    /// Time of its last use in milliseconds since 1970; none where it never was used. The file has
    /// it to the minute.
    pub fn last_used_ms(&self) -> Option<i64> {
        Some(self.last_used_ms.load(Ordering::Relaxed)).filter(|ms| *ms > 0)
    }
}

/// Why a secret opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No key has it.
    Unknown,
    /// Its key has expired.
    Expired,
    /// Its key was revoked.
    Revoked,
}

/// The keys of a data folder.
#[derive(Debug)]
pub struct Keyring {
    file: KeyFile,
    held: ArcSwap<Held>,
    /// The state of the file that is in memory; held while it is replaced.
    stamp: Mutex<Stamp>,
}

/// Keys by the hashes of their secrets.
#[derive(Debug, Default)]
struct Held {
    by_hash: HashMap<String, Arc<HeldKey>>,
    /// Hashes in the order of the keys' creation.
    order: Vec<String>,
}

impl Held {
    /// The same keys with what counts their use, if they were held before. Those that are not among
    /// them any more open nothing, also where a stream holds one.
    fn of(keys: Vec<Key>, before: &Held) -> Self {
        let order = keys.iter().map(|key| key.hash.clone()).collect();
        let held = |key: Key| match before.by_hash.get(&key.hash) {
            Some(before) => {
                before.revoked.store(key.revoked_ms.is_some(), Ordering::Relaxed);
                HeldKey { key, ..HeldKey::clone(before) }
            }
            None => HeldKey::new(key),
        };
        let by_hash = keys.into_iter().map(|key| (key.hash.clone(), Arc::new(held(key))));
        let by_hash: HashMap<String, Arc<HeldKey>> = by_hash.collect();
        for gone in before.all().filter(|held| !by_hash.contains_key(&held.key.hash)) {
            gone.revoked.store(true, Ordering::Relaxed);
        }
        Self { by_hash, order }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<HeldKey>> {
        self.order.iter().filter_map(|hash| self.by_hash.get(hash))
    }
}

impl Keyring {
    /// Reads the keys of the data folder `data`; there are none where it has no file of keys.
    ///
    /// # Errors
    /// [`AccessError`] where the file cannot be read, is damaged, or lost.
    pub fn open(data: &Path) -> Result<Self, AccessError> {
        let file = KeyFile::of(data);
        let stamp = file.stamp();
        let held = Held::of(file.read()?, &Held::default());
        let used = file.read_used();
        for held in held.all() {
            let last = used.get(&held.key.name).copied().unwrap_or(0);
            held.last_used_ms.store(last, Ordering::Relaxed);
        }
        Ok(Self { file, held: ArcSwap::from_pointee(held), stamp: Mutex::new(stamp) })
    }

    /// Whether there ever was a key: only then are calls without one refused.
    pub fn is_in_force(&self) -> bool {
        !self.held.load().order.is_empty()
    }

    /// The key with a secret, which counts as used.
    ///
    /// # Errors
    /// [`Refusal`] where the secret opens nothing.
    pub fn find(&self, secret: &str) -> Result<Arc<HeldKey>, Refusal> {
        let hash = secret::hash(secret).ok_or(Refusal::Unknown)?;
        let held = self.held.load().by_hash.get(&hash).cloned().ok_or(Refusal::Unknown)?;
        held.check()?;
        held.last_used_ms.store(now_ms(), Ordering::Relaxed);
        Ok(held)
    }

    /// All keys, in the order of their creation.
    pub fn list(&self) -> Vec<Arc<HeldKey>> {
        self.held.load().all().cloned().collect()
    }

    /// Creates a key; returns it with its secret, which is stored nowhere.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a field beyond its limit, [`Error::AlreadyExists`] for a name that is
    /// taken, [`Error::Full`] where there are 10,000 keys, [`Error::Storage`] where the disk fails.
    pub fn create(&self, spec: KeySpec) -> Result<(Arc<HeldKey>, Secret)> {
        spec.validate()?;
        let secret = secret::generate().map_err(|e| Error::Storage(e.into()))?;
        let hash = secret::hash(secret.reveal()).unwrap_or_default();
        let created_ms = now_ms();
        let key = Key {
            name: spec.name,
            scopes: spec.scopes.into_iter().collect(),
            store: spec.store,
            hash: hash.clone(),
            quota: spec.quota,
            created_ms,
            expires_ms: spec.valid_ms.map(|valid| created_ms.saturating_add(valid)),
            revoked_ms: None,
        };

        self.change(|keys| {
            if keys.iter().any(|known| known.name == key.name) {
                return Err(Error::AlreadyExists { kind: "key", id: key.name });
            }
            if keys.len() >= MAX_KEYS {
                return Err(Error::Full(format!("there are {MAX_KEYS} keys, the maximum")));
            }
            keys.push(key);
            Ok(())
        })?;
        Ok((self.held(&hash)?, secret))
    }

    /// Revokes a key, from now on and for good.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown name, [`Error::Storage`] where the disk fails.
    pub fn revoke(&self, name: &str) -> Result<Arc<HeldKey>> {
        let hash = self.change(|keys| {
            let key = keys.iter_mut().find(|key| key.name == name);
            let key = key.ok_or_else(|| Error::NotFound { kind: "key", id: name.to_owned() })?;
            key.revoked_ms.get_or_insert_with(now_ms);
            Ok(key.hash.clone())
        })?;
        self.held(&hash)
    }

    /// Revokes all keys of a store.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails.
    pub fn revoke_of_store(&self, store: &str) -> Result<()> {
        if !self.is_in_force() {
            return Ok(());
        }
        self.change(|keys| {
            for key in keys.iter_mut().filter(|key| key.store.as_deref() == Some(store)) {
                key.revoked_ms.get_or_insert_with(now_ms);
            }
            Ok(())
        })
    }

    /// Changes the file, and what is in memory with it.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Key>) -> Result<T>) -> Result<T> {
        let mut stamp = self.stamp.lock();
        let changed = self.file.change(|keys| {
            // The keys in memory must not be replaced by a file that begins anew.
            if keys.is_empty() && self.is_in_force() {
                return Err(self.file.lost().into());
            }
            change(keys)
        });
        let Changed { keys, stamp: changed, value } = changed?;
        *stamp = changed;
        self.hold(keys);
        Ok(value)
    }

    /// The key with a hash.
    fn held(&self, hash: &SecretHash) -> Result<Arc<HeldKey>> {
        let held = self.held.load().by_hash.get(hash).cloned();
        held.ok_or_else(|| self.file.lost().into())
    }

    /// Reads the file again if another process has changed it.
    ///
    /// # Errors
    /// [`AccessError`] where it cannot be read; the keys before stay in force.
    pub fn refresh(&self) -> Result<(), AccessError> {
        let mut stamp = self.stamp.lock();
        let found = self.file.stamp();
        if *stamp == found {
            return Ok(());
        }
        let keys = self.file.read()?;
        if keys.is_empty() && self.is_in_force() {
            return Err(self.file.lost());
        }
        *stamp = found;
        self.hold(keys);
        Ok(())
    }

    /// Replaces the keys by those of the server that this one follows, as JSON; none there change nothing here.
    ///
    /// # Errors
    /// [`Error::Storage`] where they cannot be read, or the disk fails.
    pub fn take_over(&self, keys: &[u8]) -> Result<()> {
        let taken: Vec<Key> =
            serde_json::from_slice(keys).map_err(|error| Error::Storage(error.into()))?;
        let held: Vec<Key> = self.list().iter().map(|held| held.key.clone()).collect();
        if taken.is_empty() || taken == held {
            return Ok(());
        }
        self.change(|keys| {
            *keys = taken;
            Ok(())
        })
    }

    /// Writes the times of last use to disk.
    ///
    /// # Errors
    /// [`AccessError`] where the disk fails.
    pub fn save_last_uses(&self) -> Result<(), AccessError> {
        let held = self.held.load();
        let used =
            held.all().filter_map(|held| Some((held.key.name.clone(), held.last_used_ms()?)));
        self.file.write_used(&used.collect())
    }

    fn hold(&self, keys: Vec<Key>) {
        let before = self.held.load();
        self.held.store(Arc::new(Held::of(keys, &before)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    fn spec(name: &str) -> KeySpec {
        KeySpec::new(name, &[Scope::Read], Some("default"))
    }

    #[test]
    fn a_secret_opens_until_it_is_revoked_or_expires_and_stays_out_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(folder.path()).unwrap();
        assert!(!keyring.is_in_force());
        let (key, secret) = keyring.create(spec("storefront")).unwrap();
        assert!(keyring.is_in_force());
        assert_eq!(key.last_used_ms(), None);
        assert_eq!(keyring.find(secret.reveal()).unwrap().key.name, "storefront");
        assert!(key.last_used_ms().is_some());
        assert_eq!(keyring.find("qm_0").unwrap_err(), Refusal::Unknown);

        let bytes = std::fs::read_to_string(folder.path().join("access/KEYS")).unwrap();
        assert!(!bytes.contains(secret.reveal()) && bytes.contains("storefront"));

        let short = KeySpec { valid_ms: Some(1_000), ..spec("short") };
        let (_, expiring) = keyring.create(short).unwrap();
        keyring.find(expiring.reveal()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1_050));
        assert_eq!(keyring.find(expiring.reveal()).unwrap_err(), Refusal::Expired);

        keyring.revoke("storefront").unwrap();
        assert_eq!(keyring.find(secret.reveal()).unwrap_err(), Refusal::Revoked);
        assert!(keyring.is_in_force(), "a revoked key does not open the server");
        keyring.save_last_uses().unwrap();
        let again = Keyring::open(folder.path()).unwrap();
        assert!(again.list()[0].last_used_ms().is_some());
        assert_eq!(again.find(secret.reveal()).unwrap_err(), Refusal::Revoked);
    }

    #[test]
    fn what_another_process_changes_is_seen_and_what_it_breaks_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let server = Keyring::open(folder.path()).unwrap();
        let shell = Keyring::open(folder.path()).unwrap();
        let (_, secret) = shell.create(spec("a")).unwrap();
        server.refresh().unwrap();
        let held = server.find(secret.reveal()).unwrap();
        held.usage.add(super::super::usage::Counted::Streams, 1);

        // Each process keeps what the other has added.
        server.create(spec("b")).unwrap();
        shell.create(spec("c")).unwrap();
        server.refresh().unwrap();
        let names: Vec<String> = server.list().iter().map(|held| held.key.name.clone()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let usage = &server.find(secret.reveal()).unwrap().usage;
        assert_eq!(usage.now(super::super::usage::Counted::Streams), 1, "counts stay");

        let path = folder.path().join("access/KEYS");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.pop();
        std::fs::write(&path, &bytes).unwrap();
        assert!(server.refresh().unwrap_err().to_string().contains("is damaged"));
        server.find(secret.reveal()).unwrap();
        std::fs::write(&path, "[]").unwrap();
        assert!(server.refresh().unwrap_err().to_string().contains("no checksum"));
        std::fs::remove_file(&path).unwrap();
        assert!(server.refresh().unwrap_err().to_string().contains("is lost"));
        assert!(server.is_in_force());
        assert!(Keyring::open(folder.path()).unwrap_err().to_string().contains("is lost"));
        std::fs::remove_dir_all(folder.path().join("access")).unwrap();
        assert!(server.refresh().unwrap_err().to_string().contains("is lost"));
        assert!(Keyring::open(folder.path()).unwrap_err().to_string().contains("is lost"));
        std::fs::remove_file(folder.path().join("KEYED")).unwrap();
        assert!(server.refresh().unwrap_err().to_string().contains("is lost"), "while it runs");
        assert!(server.is_in_force());
    }

    #[test]
    fn a_name_is_taken_once_and_every_field_has_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::open(folder.path()).unwrap();
        keyring.create(spec("a")).unwrap();
        keyring.revoke("a").unwrap();
        let taken = keyring.create(spec("a")).unwrap_err();
        assert!(matches!(taken, Error::AlreadyExists { kind: "key", .. }), "{taken:?}");
        assert!(matches!(keyring.revoke("b").unwrap_err(), Error::NotFound { kind: "key", .. }));

        let field = |spec: KeySpec| match keyring.create(spec).unwrap_err() {
            Error::Invalid(violation) => violation.field,
            other => panic!("{other}"),
        };
        for name in ["", "..", "A", "a/b", "-a", &"a".repeat(65)] {
            assert_eq!(field(spec(name)), "name", "{name}");
        }
        assert_eq!(field(KeySpec::new("k", &[], Some("s"))), "scopes");
        assert_eq!(field(KeySpec::new("k", &[Scope::Read, Scope::Read], Some("s"))), "scopes");
        assert_eq!(field(KeySpec::new("k", &[Scope::Admin], Some("s"))), "store");
        assert_eq!(field(KeySpec::new("k", &[Scope::Read], None)), "store");
        assert_eq!(field(KeySpec::new("k", &[Scope::Read], Some(".."))), "store");
        assert_eq!(field(KeySpec { valid_ms: Some(999), ..spec("k") }), "expires_in");
    }
}
