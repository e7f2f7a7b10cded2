//! Objects by their names below the URL of an object store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_stream::StreamExt;
use url::Url;

use super::{ObjectError, folder};
use crate::store::files;

/// Time that an operation on a small object may take, and a listing.
const PATIENCE: Duration = Duration::from_secs(10);
const LONG_PATIENCE: Duration = Duration::from_secs(300);
/// Time that each attempt to transfer an object may take: the first are short, as a connection of before the
/// network was cut answers nothing; the last is enough for a large object on a slow network.
const ATTEMPTS: [Duration; 4] =
    [Duration::from_secs(3), Duration::from_secs(10), Duration::from_secs(30), LONG_PATIENCE];
/// Settings of connections, by their names in the library.
const CONNECTIONS: [(&str, &str); 3] = [
    ("timeout", "300 seconds"),
    ("connect_timeout", "2 seconds"),
    ("pool_idle_timeout", "5 seconds"),
];
/// Maximum size of an object that is read, in bytes.
const MAX_OBJECT: u64 = 256 << 20;
/// Transfers of parts of logs and models at once; each takes some hundred MiB at most.
const TURNS: usize = 4;
/// Variables of the environment with credentials, endpoints and regions.
const VARIABLES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// An object store, from one of its names on.
#[derive(Debug, Clone)]
pub struct Bucket {
    url: String,
    store: Arc<dyn ObjectStore>,
    below: Path,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
    /// Bounds the memory of what is transferred at once.
    turns: Arc<Semaphore>,
}

/// A state of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(UpdateVersion);

/// An object that was read.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its state.
    pub version: Version,
}

/// An object in a listing. Times are those of the store's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// When it was written, in milliseconds since 1970.
    pub modified_ms: i64,
}

impl Bucket {
    /// The object store at a URL: `s3://bucket/path`, `gs://bucket/path`, `az://container/path`,
    /// `file:///path`. Credentials, region and endpoint come from variables of the environment, as the tools of
    /// each store name them (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …).
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn open(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|e| format!("{text:?} is no URL: {e}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("credentials do not belong into the URL; set variables".to_owned());
        }
        // The process may have one already.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();

        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_of_store = VARIABLES.iter().any(|of_store| name.starts_with(of_store));
            Some((name, value.into_string().ok()?)).filter(|_| is_of_store)
        });
        let settings = CONNECTIONS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let opened = object_store::parse_url_opts(&url, settings.into_iter().chain(variables));
        let (store, below) = opened.map_err(|e| format!("{text}: {e}"))?;
        let folder = (url.scheme() == "file").then(|| url.to_file_path());
        let folder =
            folder.transpose().map_err(|()| format!("{text} is no folder of this machine"))?;
        if let Some(folder) = &folder {
            // What is shared names users: a new folder is its owner's alone.
            files::create_folder(folder).map_err(|e| format!("{text}: {e}"))?;
        }
        let store: Arc<dyn ObjectStore> = match &folder {
            // As durable as the log.
            Some(_) => Arc::new(LocalFileSystem::new().with_fsync(true)),
            None => Arc::from(store),
        };
        let turns = Arc::new(Semaphore::new(TURNS));
        Ok(Self { url: text.to_owned(), store, below, folder, turns })
    }

    /// Waits for the turn to transfer parts of a log or of a model, which is over when the value is dropped.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn path(&self, name: &str) -> Path {
        let parts = name.split('/');
        parts.fold(self.below.clone(), |path, part| path.join(part))
    }

    /// An object; none where there is none.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails, or the object is over 256 MiB.
    pub async fn get(&self, name: &str) -> Result<Option<Found>, ObjectError> {
        self.read(name, GetOptions::default()).await
    }

    /// An object, unless it is still in the state that was read before; none then, and where there is none.
    ///
    /// # Errors
    /// As [`Bucket::get`].
    pub async fn get_if_changed(
        &self,
        name: &str,
        before: Option<&Version>,
    ) -> Result<Option<Found>, ObjectError> {
        let if_none_match = before.and_then(|version| version.0.e_tag.clone());
        let found = self.read(name, GetOptions { if_none_match, ..Default::default() }).await?;
        Ok(found.filter(|found| Some(&found.version) != before))
    }

    async fn read(&self, name: &str, options: GetOptions) -> Result<Option<Found>, ObjectError> {
        let path = self.path(name);
        in_attempts(|| self.read_once(name, &path, options.clone())).await
    }

    async fn read_once(
        &self,
        name: &str,
        path: &Path,
        options: GetOptions,
    ) -> Result<Option<Found>, ObjectError> {
        let result = match self.store.get_opts(path, options).await {
            Err(Error::NotFound { .. } | Error::NotModified { .. }) => return Ok(None),
            result => result?,
        };
        let meta = result.meta.clone();
        if meta.size > MAX_OBJECT {
            return Err(ObjectError::damaged(name, format!("it has {} bytes", meta.size)));
        }

        let bytes = result.bytes().await?.to_vec();
        let e_tag = match self.folder {
            Some(_) => Some(folder::version(&bytes)),
            None => meta.e_tag,
        };
        let version = Version(UpdateVersion { e_tag, version: meta.version });
        Ok(Some(Found { bytes, version }))
    }

    /// Writes an object.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), ObjectError> {
        let path = self.path(name);
        let payload = PutPayload::from(bytes);
        in_attempts(|| async {
            self.store.put(&path, payload.clone()).await?;
            Ok(())
        })
        .await
    }

    /// Writes an object where it is still in the state that was read before, none: where there is none; returns
    /// its new state, or none where another came first.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails: whether the object was written is not known then.
    pub async fn replace(
        &self,
        name: &str,
        before: Option<&Version>,
        bytes: Vec<u8>,
    ) -> Result<Option<Version>, ObjectError> {
        if self.folder.is_some() {
            return self.replace_file(name, before, bytes).await;
        }

        let mode = match before {
            Some(version) => PutMode::Update(version.0.clone()),
            None => PutMode::Create,
        };
        let path = self.path(name);
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = async {
            match self.store.put_opts(&path, PutPayload::from(bytes), options).await {
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(None),
                // Where it was deleted meanwhile.
                Err(Error::NotFound { .. }) if before.is_some() => Ok(None),
                written => {
                    let written = written?;
                    let (e_tag, version) = (written.e_tag, written.version);
                    Ok(Some(Version(UpdateVersion { e_tag, version })))
                }
            }
        };
        in_time(PATIENCE, put).await
    }

    async fn replace_file(
        &self,
        name: &str,
        before: Option<&Version>,
        bytes: Vec<u8>,
    ) -> Result<Option<Version>, ObjectError> {
        let Some(root) = self.folder.clone() else { return Ok(None) };
        let path = name.split('/').fold(root.clone(), |path, part| path.join(part));
        let before = before.and_then(|version| version.0.e_tag.clone());
        let replaced = tokio::task::spawn_blocking(move || {
            let is_replaced = folder::replace(&root, &path, before.as_deref(), &bytes)?;
            Ok::<_, std::io::Error>(is_replaced.then(|| folder::version(&bytes)))
        });
        let replaced = replaced.await.map_err(std::io::Error::other)??;
        Ok(replaced.map(|e_tag| Version(UpdateVersion { e_tag: Some(e_tag), version: None })))
    }

    /// When an object was written, by the store's clock, in milliseconds since 1970; none where there is none.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails.
    pub async fn modified_ms(&self, name: &str) -> Result<Option<i64>, ObjectError> {
        let path = self.path(name);
        let head = async {
            match self.store.head(&path).await {
                Err(Error::NotFound { .. }) => Ok(None),
                meta => Ok(Some(meta?.last_modified.timestamp_millis())),
            }
        };
        in_time(PATIENCE, head).await
    }

    /// The objects whose names begin with `folder/`.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>, ObjectError> {
        let below = self.path(folder);
        let mut all = self.store.list(Some(&below));
        let listed = async {
            let mut listed = Vec::new();
            while let Some(meta) = all.next().await {
                let meta = meta?;
                let modified_ms = meta.last_modified.timestamp_millis();
                let parts = meta.location.prefix_match(&self.below);
                let parts = parts.into_iter().flatten();
                let name = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>();
                listed.push(Listed { name: name.join("/"), modified_ms });
            }
            Ok(listed)
        };
        in_time(LONG_PATIENCE, listed).await
    }

    /// Deletes an object, if there is one.
    ///
    /// # Errors
    /// [`ObjectError`] where the store fails.
    pub async fn delete(&self, name: &str) -> Result<(), ObjectError> {
        let path = self.path(name);
        let deleted = async {
            match self.store.delete(&path).await {
                Err(Error::NotFound { .. }) => Ok(()),
                deleted => Ok(deleted?),
            }
        };
        in_time(PATIENCE, deleted).await
    }
}

/// The outcome of an operation, unless it takes too long.
async fn in_time<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, ObjectError>>,
) -> Result<T, ObjectError> {
    let done = tokio::time::timeout(patience, work).await;
    done.unwrap_or(Err(ObjectError::Silent(patience)))
}

/// The outcome of the first attempt at an operation that does not take too long. What may be done twice may be
/// attempted.
async fn in_attempts<T, F>(work: impl Fn() -> F) -> Result<T, ObjectError>
where
    F: Future<Output = Result<T, ObjectError>>,
{
    for patience in ATTEMPTS {
        if let Ok(done) = tokio::time::timeout(patience, work()).await {
            return done;
        }
    }
    Err(ObjectError::Silent(LONG_PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(folder: &std::path::Path) -> Bucket {
        Bucket::open(&format!("file://{}", folder.display())).unwrap()
    }

    #[tokio::test]
    async fn of_those_who_read_the_same_one_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = bucket(&folder.path().join("new"));
        assert!(bucket.get("seats/A").await.unwrap().is_none());
        let first = bucket.replace("seats/A", None, b"1".to_vec()).await.unwrap().unwrap();
        assert!(bucket.replace("seats/A", None, b"2".to_vec()).await.unwrap().is_none());
        let found = bucket.get("seats/A").await.unwrap().unwrap();
        assert_eq!((&found.bytes[..], &found.version), (&b"1"[..], &first));
        assert!(bucket.get_if_changed("seats/A", Some(&first)).await.unwrap().is_none());

        let racing: Vec<_> = (0..8u8)
            .map(|n| {
                let (bucket, first) = (bucket.clone(), first.clone());
                tokio::spawn(async move { bucket.replace("seats/A", Some(&first), vec![n]).await })
            })
            .collect();
        let mut won = 0;
        for one in racing {
            won += usize::from(one.await.unwrap().unwrap().is_some());
        }
        assert_eq!(won, 1);
        assert!(bucket.get_if_changed("seats/A", Some(&first)).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn what_is_listed_is_named_as_it_is_read_and_can_be_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = bucket(folder.path());
        bucket.put("objects/ab/abcd", b"x".to_vec()).await.unwrap();
        bucket.put("other/y", b"y".to_vec()).await.unwrap();
        let listed = bucket.list("objects").await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].name, "objects/ab/abcd");
        assert_eq!(
            bucket.modified_ms("objects/ab/abcd").await.unwrap(),
            Some(listed[0].modified_ms)
        );
        bucket.delete("objects/ab/abcd").await.unwrap();
        bucket.delete("objects/ab/abcd").await.unwrap();
        assert_eq!(bucket.list("objects").await.unwrap(), []);
    }

    #[test]
    fn a_url_is_of_a_store_and_holds_no_secret() {
        for bad in ["shop", "ftp://shop/x", "s3://key:secret@shop/x"] {
            let refused = Bucket::open(bad).unwrap_err();
            assert!(!refused.contains("key:secret"), "{refused}");
        }
    }
}
