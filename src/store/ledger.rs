//! The list of the log's files, with the number of names defined before each. Without it, a log
//! whose first file is lost would assign that file's names, and so its events, to other users; one
//! whose last file is lost would merely be shorter.
//!
//! `SEGMENTS` is written whenever a file is begun, before anything is written to that file: a
//! listed file has existed. The newest file may exist and not be listed yet; it is empty.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::block::BlockBuilder;
use super::record::Record;
use super::{StoreError, files, frame, sealed, segment};
use crate::domain::Offset;

/// Its file in the log's folder.
pub(super) const NAME: &str = "SEGMENTS";
/// Records of one block that replaces lost ones, and names.
const FILL: u64 = 1_000_000;

/// The start of a file of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begins {
    /// Offset of its first record.
    pub base: Offset,
    /// Users named in the files before it.
    pub users: u64,
    /// Items named in the files before it.
    pub items: u64,
}

/// The files of a log, in order; the last is the open one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The start of each.
    pub segments: Vec<Begins>,
}

/// The path of a log's list.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

impl Ledger {
    /// Reads the list of `folder`; none where the file is missing.
    ///
    /// # Errors
    /// [`StoreError::Io`] where it cannot be read, [`StoreError::Lost`] where it is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let path = path(folder);
        let Some(bytes) = files::read_if_there(&path).map_err(StoreError::io("read", &path))?
        else {
            return Ok(None);
        };
        let ledger: Self = sealed::unseal(&bytes).map_err(|what| StoreError::lost(&path, what))?;

        let rises = |pair: &[Begins]| pair[0].base < pair[1].base;
        let begins = ledger.segments.first().is_some_and(|first| first.base == 0);
        if begins && ledger.segments.windows(2).all(rises) {
            Ok(Some(ledger))
        } else {
            Err(StoreError::lost(&path, "its files are in no order"))
        }
    }

    /// Writes the list, durably.
    ///
    /// # Errors
    /// Where the disk fails; the list before stays then.
    pub fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = path(folder);
        let bytes = self.bytes(folder)?;
        files::replace(&path, &bytes).map_err(StoreError::io("write", &path))
    }

    /// The list as a file of `folder`.
    ///
    /// # Errors
    /// Where JSON cannot represent it.
    pub(super) fn bytes(&self, folder: &Path) -> Result<Vec<u8>, StoreError> {
        sealed::seal(self).map_err(|e| StoreError::lost(&path(folder), e))
    }

    /// The first listed file that `folder` lacks, or that is empty, with the start of the next, if
    /// there is one.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the folder cannot be listed.
    fn missing(&self, folder: &Path) -> Result<Option<(Begins, Option<Begins>)>, StoreError> {
        let last = self.segments.last().map(|last| last.base);
        let mut found = Vec::new();
        for (base, path) in segment::list(folder)? {
            // An emptied file counts as missing; the mark knows how long the last file must be.
            let metadata = fs::metadata(&path).map_err(StoreError::io("stat", &path))?;
            if metadata.len() > 0 || Some(base) == last {
                found.push(base);
            }
        }
        let at = self.segments.iter().position(|listed| !found.contains(&listed.base));
        Ok(at.map(|at| (self.segments[at], self.segments.get(at + 1).copied())))
    }

    /// Checks that every listed file exists.
    ///
    /// # Errors
    /// [`StoreError::Lost`] with the first that does not.
    pub fn check(&self, folder: &Path) -> Result<(), StoreError> {
        let Some((lost, _)) = self.missing(folder)? else { return Ok(()) };
        let path = folder.join(segment::file_name(lost.base));
        let what = format!("it held the records from offset {} on", lost.base);
        Err(StoreError::lost(&path, what))
    }

    /// Replaces lost files by placeholders that keep every idx and offset, and hold no name and no
    /// event. A lost last file is removed from the list.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn go_on_without(&mut self, folder: &Path) -> Result<(), StoreError> {
        while let Some((lost, next)) = self.missing(folder)? {
            let path = folder.join(segment::file_name(lost.base));
            match next {
                Some(next) => fill(&path, lost, next).map_err(StoreError::io("write", &path))?,
                None => self.segments.retain(|listed| listed.base != lost.base),
            }
            tracing::warn!(file = %path.display(), "continuing without a lost file of the log");
        }

        if self.segments.is_empty() {
            self.segments.push(Begins::default());
        }
        self.write(folder)
    }
}

/// Writes a placeholder with empty names and records for what lay between two starts.
fn fill(path: &Path, lost: Begins, next: Begins) -> std::io::Result<()> {
    let mut bytes = segment::header(lost.base).to_vec();
    let mut users = next.users - lost.users;
    let mut items = next.items - lost.items;
    let mut at = lost.base;

    while at < next.base {
        let mut block = BlockBuilder::default();
        for _ in 0..(next.base - at).min(FILL) {
            block.push(&Record::Gone);
        }

        for _ in 0..users.min(FILL) {
            block.define_user("");
        }

        for _ in 0..items.min(FILL) {
            block.define_item("");
        }

        users -= users.min(FILL);
        items -= items.min(FILL);

        bytes.extend_from_slice(&frame::encode(&block.payload(), block.len(), at));
        at += u64::from(block.len());
    }

    let aside = path.with_extension("writing");
    files::write(&aside, &bytes)?;
    fs::rename(&aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_back_and_not_with_a_bit_flipped() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Ledger::read(dir.path()).unwrap(), None);
        let begins = |base| Begins { base, users: base / 2, items: 3 };
        let ledger = Ledger { segments: [0, 40, 90].map(begins).to_vec() };
        ledger.write(dir.path()).unwrap();
        assert_eq!(Ledger::read(dir.path()).unwrap().as_ref(), Some(&ledger));

        let good = fs::read(path(dir.path())).unwrap();
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1;
            fs::write(path(dir.path()), bad).unwrap();
            if let Ok(read) = Ledger::read(dir.path()) {
                assert_eq!(read.as_ref(), Some(&ledger), "byte {byte}");
            }
        }
    }
}
