//! One backup as a single file: a tar archive, compressed by zstd, with the paths of the data folder
//! and the manifest at the end.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};

use tar::{Archive as Tar, Builder, EntryType, Header};
use tempfile::NamedTempFile;
use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

use super::BackupError;
use super::hashing::Hashing;
use super::manifest::{FileInBackup, Manifest, check_path};
use super::pieces::Piece;
use crate::store::files;
use crate::store::priority::Pace;

/// The manifest in the archive.
const MANIFEST: &str = "BACKUP.json";
/// Maximum size of a manifest in bytes: some hundred bytes a file.
const MAX_MANIFEST: u64 = 64 << 20;
/// Why an archive is not begun.
const TAKEN: &str = "there is such a file already; name another, or remove it";
/// Bytes after the end that are looked at: an archive is filled up with zeros.
const MAX_REST: u64 = 1 << 20;
/// The level of compression: the log is compressed already.
const LEVEL: i32 = 1;

/// An archive that is being written. It takes its name once it is whole; until then nothing has it,
/// and what is dropped is removed.
pub(super) struct Archive {
    path: PathBuf,
    tar: Builder<Encoder<'static, BufWriter<NamedTempFile>>>,
}

impl Archive {
    /// Begins an archive.
    pub(super) fn begin(path: &Path) -> Result<Self, BackupError> {
        if path.exists() {
            return Err(BackupError::refused(path, TAKEN));
        }
        let folder = folder_of(path);
        let aside = tempfile::Builder::new().prefix(".backup-").tempfile_in(folder);
        let aside = aside.map_err(BackupError::io("create a file in", folder))?;
        let encoder = Encoder::new(BufWriter::new(aside), LEVEL);
        let encoder = encoder.map_err(BackupError::io("write to", path))?;
        Ok(Self { path: path.to_owned(), tar: Builder::new(encoder) })
    }

    /// Adds a file; returns its entry.
    pub(super) fn put(&mut self, piece: Piece, pace: &Pace) -> Result<FileInBackup, BackupError> {
        let path = piece.path.clone();
        let bytes = piece.bytes;
        let mut content = Hashing::paced(piece.reader(), pace.clone());
        self.append(&path, bytes, &mut content)?;
        if content.bytes != bytes {
            let what = format!("{path} is shorter than it was when it was opened");
            return Err(BackupError::refused(&self.path, what));
        }
        Ok(FileInBackup { path, bytes, blake3: content.checksum(), stamp: None })
    }

    fn append(&mut self, path: &str, bytes: u64, content: impl Read) -> Result<(), BackupError> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(bytes);
        let appended = self.tar.append_data(&mut header, path, content);
        appended.map_err(BackupError::io("write to", &self.path))
    }

    /// Completes the archive.
    pub(super) fn finish(mut self, manifest: &Manifest) -> Result<(), BackupError> {
        let bytes = manifest.bytes(&self.path)?;
        self.append(MANIFEST, bytes.len() as u64, &bytes[..])?;
        let failed = || BackupError::io("write to", &self.path);
        let encoder = self.tar.into_inner().map_err(failed())?;
        let buffered = encoder.finish().map_err(failed())?;
        let file = buffered.into_inner().map_err(|e| failed()(e.into_error()))?;
        file.as_file().sync_all().map_err(failed())?;

        file.persist_noclobber(&self.path).map_err(|e| failed()(e.error))?;
        let folder = folder_of(&self.path);
        files::sync_folder(folder).map_err(BackupError::io("flush", folder))
    }
}

/// The folder of a file.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Passes every file of an archive to `take`, by its path, and checks it against the manifest at the
/// end; returns that. `take` reads the file to its end.
pub(super) fn read(
    path: &Path,
    take: &mut dyn FnMut(&str, &mut dyn Read) -> Result<(), BackupError>,
) -> Result<Manifest, BackupError> {
    let damaged = |what: String| BackupError::damaged(path, what);
    let broken = |e: std::io::Error| damaged(e.to_string());
    let file = File::open(path).map_err(BackupError::io("open", path))?;
    let decoder = Decoder::new(BufReader::new(file)).map_err(broken)?;
    let mut tar = Tar::new(decoder);

    let mut found: Vec<(String, u64, String)> = Vec::new();
    let mut manifest = None;
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        if entry.header().entry_type() != EntryType::Regular {
            return Err(damaged(format!("{name:?} is no plain file")));
        }
        if name == MANIFEST && manifest.is_none() {
            let mut bytes = Vec::new();
            (&mut entry).take(MAX_MANIFEST).read_to_end(&mut bytes).map_err(broken)?;
            manifest = Some(Manifest::read(&bytes, path)?);
            continue;
        }

        check_path(&name).map_err(damaged)?;
        let mut content = Hashing::new(&mut entry);
        let taken = take(&name, &mut content);
        // What cannot be read is the archive's fault, whoever notices.
        if let Some(what) = content.broken {
            return Err(damaged(what));
        }
        taken?;
        found.push((name, content.bytes, content.checksum()));
    }

    let mut rest = Vec::new();
    tar.into_inner().take(MAX_REST).read_to_end(&mut rest).map_err(broken)?;
    if rest.iter().any(|&byte| byte != 0) {
        return Err(damaged("something follows its end".to_owned()));
    }

    let manifest = manifest.ok_or_else(|| damaged("it ends before its manifest".to_owned()))?;
    let listed = manifest.files.iter();
    let listed = listed.map(|file| (file.path.as_str(), file.bytes, file.blake3.as_str()));
    let found = found.iter().map(|(name, bytes, sum)| (name.as_str(), *bytes, sum.as_str()));
    match listed.zip(found.clone()).find(|(listed, found)| listed != found) {
        Some((listed, _)) => Err(damaged(format!("{} is not what was written", listed.0))),
        None if found.count() != manifest.files.len() => {
            Err(damaged("it holds other files than its manifest says".to_owned()))
        }
        None => Ok(manifest),
    }
}
