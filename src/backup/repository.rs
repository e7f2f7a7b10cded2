//! A folder of backups. Files are kept once under their checksum, so that a backup adds only what is
//! new since the one before; a backup is one manifest.
//!
//! ```text
//! REPOSITORY                 the format
//! backups/<time>.json        a manifest for each backup
//! objects/<first two>/<checksum>
//! ```
//! A manifest is written last, and an object that no manifest names is removed after that: whatever
//! is cut off, the backups before stay whole.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::BackupError;
use super::hashing::Hashing;
use super::manifest::{FORMAT, FileInBackup, Manifest, Stamp};
use super::pieces::Piece;
use crate::domain::now_ms;
use crate::store::files;
use crate::store::priority::Pace;

/// The file that marks a repository.
const MARK: &str = "REPOSITORY";

/// A folder of backups.
#[derive(Debug)]
pub(super) struct Repository {
    root: PathBuf,
    /// The files of the newest backup, by path.
    before: HashMap<String, FileInBackup>,
    /// When it was made, in milliseconds since 1970.
    before_ms: i64,
    _lock: Option<File>,
}

impl Repository {
    /// Whether a folder is one.
    pub(super) fn is_at(root: &Path) -> bool {
        root.join(MARK).is_file()
    }

    /// Opens a repository for reading.
    pub(super) fn read(root: &Path) -> Result<Self, BackupError> {
        let path = root.join(MARK);
        let text = fs::read_to_string(&path).map_err(BackupError::io("read", &path))?;
        if text.trim() != FORMAT.to_string() {
            let what = format!("it has format {:?}, this version reads {FORMAT}", text.trim());
            return Err(BackupError::refused(root, what));
        }
        Ok(Self { root: root.to_owned(), before: HashMap::new(), before_ms: 0, _lock: None })
    }

    /// Opens a repository for a new backup of the data folder with this id; creates it in a new or
    /// empty folder.
    pub(super) fn open(root: &Path, data_id: &str) -> Result<Self, BackupError> {
        files::create_folder(root).map_err(BackupError::io("create", root))?;
        if !Self::is_at(root) {
            let mut names = files::names(root).map_err(BackupError::io("list", root))?;
            // What a disk of its own has, and what was cut off in the line below.
            names.retain(|name| !["lost+found", "REPOSITORY.writing"].contains(&name.as_str()));
            if !names.is_empty() {
                let what = "the folder is not empty and holds no backups; name another";
                return Err(BackupError::refused(root, what));
            }
            let mark = root.join(MARK);
            files::replace(&mark, format!("{FORMAT}\n").as_bytes())
                .map_err(BackupError::io("write", &mark))?;
        }

        for folder in ["backups", "objects"].map(|name| root.join(name)) {
            files::create_folder(&folder).map_err(BackupError::io("create", &folder))?;
        }
        let mut repository = Self::read(root)?;
        repository._lock = Some(lock(root)?);
        if let Some(newest) = repository.newest()? {
            if !data_id.is_empty() && !newest.data_id.is_empty() && newest.data_id != data_id {
                let what = "it holds the backups of another data folder; name another";
                return Err(BackupError::refused(root, what));
            }
            repository.before_ms = newest.created_ms;
            let files = newest.files.into_iter();
            repository.before = files.map(|file| (file.path.clone(), file)).collect();
        }
        Ok(repository)
    }

    /// Whether a file in this state is part of the newest backup already.
    pub(super) fn knows(&self, path: &str, metadata: &Metadata) -> bool {
        let stamp = Stamp::of(metadata);
        stamp.is_some_and(|stamp| self.same(path, Some(stamp), metadata.len()).is_some())
    }

    /// The file of the newest backup with this path in this state, if its object is there.
    fn same(&self, path: &str, stamp: Option<Stamp>, bytes: u64) -> Option<&FileInBackup> {
        let before = self.before.get(path)?;
        let is_same = stamp.is_some() && before.stamp == stamp && before.bytes == bytes;
        let is_there = || fs::metadata(self.object(&before.blake3)).is_ok_and(|m| m.len() == bytes);
        (is_same && is_there()).then_some(before)
    }

    /// Keeps a file; returns its entry, and the bytes that were copied.
    pub(super) fn put(
        &self,
        piece: Piece,
        pace: &Pace,
    ) -> Result<(FileInBackup, u64), BackupError> {
        if let Some(before) = self.same(&piece.path, piece.stamp, piece.bytes) {
            return Ok((before.clone(), 0));
        }

        let Piece { stamp, bytes, .. } = piece;
        let path = piece.path.clone();
        let aside = self.root.join("objects").join("writing");
        let mut content = Hashing::paced(piece.reader(), pace.clone());
        let leftover = Leftover(&aside);
        let mut file = files::create(&aside).map_err(BackupError::io("create", &aside))?;
        io::copy(&mut content, &mut file).map_err(BackupError::io("copy to", &aside))?;
        if content.bytes != bytes {
            let what = format!("{path} is shorter than it was when it was opened");
            return Err(BackupError::refused(&self.root, what));
        }

        let blake3 = content.checksum();
        let object = self.object(&blake3);
        let was_there = fs::metadata(&object).is_ok_and(|metadata| metadata.len() == bytes);
        file.sync_all().map_err(BackupError::io("flush", &aside))?;
        let folder = object.parent().unwrap_or(&self.root);
        files::create_folder(folder).map_err(BackupError::io("create", folder))?;
        // Also over one that is there: its bytes may have rotted.
        fs::rename(&aside, &object).map_err(BackupError::io("rename to", &object))?;
        drop(leftover);
        files::sync_folder(folder).map_err(BackupError::io("flush", folder))?;
        let copied = if was_there { 0 } else { bytes };
        Ok((FileInBackup { path, bytes, blake3, stamp }, copied))
    }

    /// The time of a backup that is made now, in milliseconds since 1970: after the one before,
    /// whatever the clock shows, as the newest is the one that is restored.
    pub(super) fn time(&self) -> i64 {
        let now_ms = now_ms();
        if self.before_ms > now_ms {
            tracing::warn!("the backup before is of a time after now: the clock went back");
        }
        now_ms.max(self.before_ms + 1)
    }

    /// Compares what was read of a file with its checksum. One that differs is set aside, so that
    /// the next backup copies it anew.
    pub(super) fn compare<R>(
        &self,
        file: &FileInBackup,
        content: &Hashing<R>,
    ) -> Result<(), BackupError> {
        if content.checksum() == file.blake3 {
            return Ok(());
        }
        let object = self.object(&file.blake3);
        // The backup may be on a disk that is only read.
        let _ = fs::rename(&object, object.with_extension("damaged"));
        let what = format!("{} is not what was written; the next backup copies it anew", file.path);
        Err(BackupError::damaged(&self.root, what))
    }

    /// Completes a backup, and removes the oldest beyond `keep`; returns its name.
    pub(super) fn finish(&self, manifest: &Manifest, keep: usize) -> Result<String, BackupError> {
        let time = jiff::Timestamp::from_millisecond(manifest.created_ms).unwrap_or_default();
        let name = time.strftime("%Y-%m-%dT%H-%M-%S%.3fZ").to_string();
        let path = self.backup(&name);
        files::sync_folder(&self.root.join("objects"))
            .map_err(BackupError::io("flush", &self.root))?;
        let bytes = manifest.bytes(&path)?;
        files::replace(&path, &bytes).map_err(BackupError::io("write", &path))?;
        self.forget(keep)?;
        Ok(name)
    }

    /// Removes the oldest backups beyond `keep`, and what no backup needs.
    fn forget(&self, keep: usize) -> Result<(), BackupError> {
        let names = self.names()?;
        let beyond = names.len().saturating_sub(keep.max(1));
        for name in &names[..beyond] {
            let path = self.backup(name);
            fs::remove_file(&path).map_err(BackupError::io("remove", &path))?;
        }

        let mut needed = HashSet::new();
        for name in &names[beyond..] {
            match self.manifest(name) {
                Ok(manifest) => needed.extend(manifest.files.into_iter().map(|file| file.blake3)),
                Err(error) => {
                    // What it needs is not known.
                    tracing::warn!(%error, "a backup cannot be read; no file of any is removed");
                    return Ok(());
                }
            }
        }
        let objects = self.root.join("objects");
        for folder in files::names(&objects).map_err(BackupError::io("list", &objects))? {
            let folder = objects.join(folder);
            if !folder.is_dir() {
                // What an interrupted backup left.
                fs::remove_file(&folder).map_err(BackupError::io("remove", &folder))?;
                continue;
            }
            for name in files::names(&folder).map_err(BackupError::io("list", &folder))? {
                let path = folder.join(&name);
                if !needed.contains(&name) && path.is_file() {
                    fs::remove_file(&path).map_err(BackupError::io("remove", &path))?;
                }
            }
        }
        Ok(())
    }

    /// The names of the backups, oldest first.
    pub(super) fn names(&self) -> Result<Vec<String>, BackupError> {
        let folder = self.root.join("backups");
        let names = files::names(&folder).map_err(BackupError::io("list", &folder))?;
        // Other files are none of the repository's.
        let is_time =
            |name: &&str| name.ends_with('Z') && name.starts_with(|c: char| c.is_ascii_digit());
        let named = names.iter().filter_map(|name| name.strip_suffix(".json")).filter(is_time);
        let mut names: Vec<String> = named.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// The newest backup that can be read, if there is one.
    fn newest(&self) -> Result<Option<Manifest>, BackupError> {
        for name in self.names()?.iter().rev() {
            match self.manifest(name) {
                Ok(manifest) => return Ok(Some(manifest)),
                Err(error) => {
                    tracing::warn!(%error, "a backup cannot be read; the one before is taken")
                }
            }
        }
        Ok(None)
    }

    /// The backup of this name; without one the newest that can be read.
    pub(super) fn find(&self, name: Option<&str>) -> Result<Manifest, BackupError> {
        let refused = |what: String| BackupError::refused(&self.root, what);
        let Some(name) = name else {
            return self.newest()?.ok_or_else(|| refused("it holds no backup".to_owned()));
        };
        let names = self.names()?;
        match names.iter().find(|known| *known == name) {
            Some(found) => self.manifest(found),
            None => {
                let what = format!("it holds no backup {name:?}; there are {}", names.join(", "));
                Err(refused(what))
            }
        }
    }

    /// A backup's manifest.
    pub(super) fn manifest(&self, name: &str) -> Result<Manifest, BackupError> {
        let path = self.backup(name);
        let bytes = fs::read(&path).map_err(BackupError::io("read", &path))?;
        Manifest::read(&bytes, &path)
    }

    /// Opens a file of a backup.
    pub(super) fn get(&self, file: &FileInBackup) -> Result<File, BackupError> {
        let path = self.object(&file.blake3);
        File::open(&path).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                let what = format!("{} is missing, the file {}", path.display(), file.path);
                return BackupError::damaged(&self.root, what);
            }
            BackupError::io("open", &path)(error)
        })
    }

    fn backup(&self, name: &str) -> PathBuf {
        self.root.join("backups").join(format!("{name}.json"))
    }

    fn object(&self, blake3: &str) -> PathBuf {
        self.root.join("objects").join(&blake3[..2]).join(blake3)
    }
}

/// Removes a file that is half written, if it is still there.
struct Leftover<'p>(&'p Path);

impl Drop for Leftover<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

/// Locks a repository: one backup is made at a time.
fn lock(root: &Path) -> Result<File, BackupError> {
    let path = root.join("LOCK");
    let file = files::open_or_create(&path).map_err(BackupError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(BackupError::refused(root, "another backup into it is running"))
        }
        Err(TryLockError::Error(error)) => Err(BackupError::io("lock", &path)(error)),
    }
}
