//! A checkpoint: what was folded from the log up to one offset, in one file, so that opening replays only what came
//! after it. It proves nothing: where it does not fit its log it is ignored, and all is replayed.
//!
//! ```text
//! magic "QMCKPT\0\x01"
//! bytes of the basis (u64), the basis as a sealed JSON file
//! each section: its bytes (u64), their XXH3-128 (u128), the bytes
//! ```
//! Numbers are little-endian. The file is replaced as a whole, and lies beside the log's folder: no backup and no
//! copy of the log has it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::ledger::{Begins, Ledger};
use super::{StoreError, Writers, files, sealed, segment};

const NAME: &str = "checkpoint";
const MAGIC: [u8; 8] = *b"QMCKPT\0\x01";
/// Largest basis, in bytes.
const MAX_BASIS: u64 = 1 << 20;
/// Bytes at the end of a file of the log that tell it from others: those of its last block.
const LAST: u64 = 64;

/// What a checkpoint was folded from, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// Where a file of the log begins: all before it is in the checkpoint.
    pub begins: Begins,
    /// Tells the files before it from those of another log, or from the same ones rewritten.
    log: String,
    /// Names the code and the settings that fold records.
    folding: String,
}

impl Basis {
    /// The basis at the start of the last file of the log in `log`, of which nothing is written yet.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn at_end(log: &Path, begins: Begins, folding: &str) -> Result<Self, StoreError> {
        Ok(Self { begins, log: trace(log, begins)?, folding: folding.to_owned() })
    }

    /// Whether it is of the log in `log`, as it is now, and of this folding.
    fn fits(&self, log: &Path, folding: &str) -> Result<bool, StoreError> {
        let ledger = Ledger::read(log)?.unwrap_or_default();
        let is_listed = ledger.segments.contains(&self.begins);
        Ok(self.folding == folding && is_listed && self.log == trace(log, self.begins)?)
    }
}

/// The hash of the names, the lengths and the ends of the log's files before `begins`, and of who wrote the last record
/// in them.
fn trace(log: &Path, begins: Begins) -> Result<String, StoreError> {
    let mut hash = Xxh3::new();
    for (base, path) in segment::list(log)?.into_iter().filter(|(base, _)| *base < begins.base) {
        let last = files::end_of(&path, LAST).map_err(StoreError::io("read", &path))?;
        hash.update(&base.to_le_bytes());
        hash.update(&last.0.to_le_bytes());
        hash.update(&last.1);
    }
    let writers = Writers::read(log)?;
    hash.update(writers.of(begins.base).unwrap_or_default().as_bytes());
    Ok(format!("{:032x}", hash.digest128()))
}

/// A checkpoint that is being written, aside of the one before.
#[derive(Debug)]
pub struct NewCheckpoint {
    path: PathBuf,
    file: BufWriter<File>,
    is_finished: bool,
}

impl NewCheckpoint {
    /// Begins the checkpoint of the store in `root`.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn begin(root: &Path, basis: &Basis) -> io::Result<Self> {
        let path = root.join(NAME);
        let file = BufWriter::with_capacity(1 << 20, files::create(&aside(&path))?);
        let mut new = Self { path, file, is_finished: false };
        let basis = sealed::seal(basis)?;
        new.file.write_all(&MAGIC)?;
        new.file.write_all(&(basis.len() as u64).to_le_bytes())?;
        new.file.write_all(&basis)?;
        Ok(new)
    }

    /// Adds a section.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn add(&mut self, section: &[u8]) -> io::Result<()> {
        self.file.write_all(&(section.len() as u64).to_le_bytes())?;
        self.file.write_all(&xxh3_128(section).to_le_bytes())?;
        self.file.write_all(section)
    }

    /// Flushes it, and puts it in the place of the one before.
    ///
    /// # Errors
    /// Where the disk fails; the one before stays then.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(aside(&self.path), &self.path)?;
        self.is_finished = true;
        self.path.parent().map_or(Ok(()), files::sync_folder)
    }
}

impl Drop for NewCheckpoint {
    fn drop(&mut self) {
        if !self.is_finished {
            // The log needs the room.
            let _ = fs::remove_file(aside(&self.path));
        }
    }
}

/// A checkpoint that is being read.
#[derive(Debug)]
pub struct Checkpoint {
    /// Where the log goes on.
    pub begins: Begins,
    file: BufReader<File>,
    file_bytes: u64,
}

impl Checkpoint {
    /// Opens the checkpoint of the store in `root`, whose log is in `log`; none where there is none that fits.
    ///
    /// # Errors
    /// Where it is damaged, or the disk fails.
    pub fn open(root: &Path, log: &Path, folding: &str) -> Result<Option<Self>, StoreError> {
        let path = root.join(NAME);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(StoreError::io("open", &path))?,
        };
        let file_bytes = file.metadata().map_err(StoreError::io("stat", &path))?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        let basis = read_basis(&mut file, file_bytes).map_err(StoreError::io("read", &path))?;
        if !basis.fits(log, folding)? {
            return Ok(None);
        }
        Ok(Some(Self { begins: basis.begins, file, file_bytes }))
    }

    /// The next section.
    ///
    /// # Errors
    /// Where it is cut short or damaged, or the disk fails.
    pub fn section(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 8];
        let mut hash = [0; 16];
        self.file.read_exact(&mut length)?;
        self.file.read_exact(&mut hash)?;
        let length = u64::from_le_bytes(length);
        if length > self.file_bytes {
            return Err(damaged("a section is longer than the file"));
        }
        let mut section = vec![0; length as usize];
        self.file.read_exact(&mut section)?;
        if xxh3_128(&section) != u128::from_le_bytes(hash) {
            return Err(damaged("a section does not match its checksum"));
        }
        Ok(section)
    }
}

/// Removes the checkpoint of the store in `root`, and what is left of an unfinished one.
///
/// # Errors
/// Where the disk fails.
pub fn remove(root: &Path) -> Result<(), StoreError> {
    let path = root.join(NAME);
    let mut is_removed = false;
    for path in [aside(&path), path] {
        match fs::remove_file(&path) {
            Ok(()) => is_removed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("remove", &path)(error)),
        }
    }
    if is_removed {
        files::sync_folder(root).map_err(StoreError::io("flush", root))?;
    }
    Ok(())
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("writing")
}

fn read_basis(file: &mut impl Read, file_bytes: u64) -> io::Result<Basis> {
    let mut begin = [0; 16];
    file.read_exact(&mut begin)?;
    let (magic, length) = begin.split_at(8);
    let length = length.iter().rev().fold(0, |sum, &byte| (sum << 8) | u64::from(byte));
    if magic != MAGIC || length > file_bytes.min(MAX_BASIS) {
        return Err(damaged("it is no checkpoint"));
    }
    let mut basis = vec![0; length as usize];
    file.read_exact(&mut basis)?;
    sealed::unseal_strictly(&basis).map_err(|what| damaged(&what))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::{BlockBuilder, Log, Opening, Record};

    /// A store's folder, with a log, and where the last file of that begins.
    fn store() -> (TempDir, PathBuf, Begins) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("log");
        let begins = log(&folder, 7);
        (root, folder, begins)
    }

    /// A log of two files; returns where the second begins.
    fn log(folder: &Path, digest: u128) -> Begins {
        fs::create_dir(folder).unwrap();
        let opening = Opening { proven: false, ..Opening::default() };
        let mut log = Log::open(folder, opening, &mut |_| {}).unwrap();
        let mut block = BlockBuilder::default();
        block.define_user("ada");
        block.push(&Record::Imported(digest));
        log.append(&block).unwrap();
        log.roll().unwrap();
        log.begins()
    }

    fn write(root: &Path, log: &Path, begins: Begins) {
        let basis = Basis::at_end(log, begins, "today's").unwrap();
        let mut new = NewCheckpoint::begin(root, &basis).unwrap();
        new.add(b"users").unwrap();
        new.add(b"").unwrap();
        new.finish().unwrap();
    }

    #[test]
    fn a_checkpoint_is_read_back_for_its_own_log_and_folding() {
        let (root, folder, begins) = store();
        let root = root.path();
        assert_eq!(begins, Begins { base: 1, users: 1, items: 0 });
        assert!(Checkpoint::open(root, &folder, "today's").unwrap().is_none());

        write(root, &folder, begins);
        let mut read = Checkpoint::open(root, &folder, "today's").unwrap().unwrap();
        assert_eq!((read.begins, read.section().unwrap()), (begins, b"users".to_vec()));
        assert_eq!(read.section().unwrap(), b"");
        assert!(read.section().is_err());
        assert!(Checkpoint::open(root, &folder, "tomorrow's").unwrap().is_none());

        let other = root.join("other");
        assert_eq!(log(&other, 8), begins);
        assert!(Checkpoint::open(root, &other, "today's").unwrap().is_none());

        remove(root).unwrap();
        remove(root).unwrap();
        assert!(Checkpoint::open(root, &folder, "today's").unwrap().is_none());
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let (root, folder, begins) = store();
        let root = root.path();
        let basis = Basis::at_end(&folder, begins, "today's").unwrap();
        let mut new = NewCheckpoint::begin(root, &basis).unwrap();
        new.add(b"users").unwrap();
        assert!(aside(&root.join(NAME)).exists());
        drop(new);
        assert!(!aside(&root.join(NAME)).exists() && !root.join(NAME).exists());
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let (root, folder, begins) = store();
        let root = root.path();
        write(root, &folder, begins);
        let whole = fs::read(root.join(NAME)).unwrap();
        let read = || -> Result<Option<[Vec<u8>; 2]>, StoreError> {
            let Some(mut read) = Checkpoint::open(root, &folder, "today's")? else {
                return Ok(None);
            };
            let mut next = || read.section().map_err(StoreError::io("read", root));
            Ok(Some([next()?, next()?]))
        };
        let expected = [b"users".to_vec(), Vec::new()];
        assert_eq!(read().unwrap().unwrap(), expected);
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            fs::write(root.join(NAME), &flipped).unwrap();
            if let Ok(Some(read)) = read() {
                assert_eq!(read, expected, "byte {at}");
            }
            fs::write(root.join(NAME), &whole[..at]).unwrap();
            assert!(!matches!(read(), Ok(Some(_))), "cut at {at}");
        }
    }
}
