//! Replays a log from its first record: the start of live state and of every training. Every
//! record must refer to users and items that were named before it.

use std::path::{Path, PathBuf};

use super::block::{self, Entry};
use super::ledger::Begins;
use super::mark::Acknowledged;
use super::options::Opening;
use super::priority::Pace;
use super::proof::Proof;
use super::{StoreError, segment};
use crate::domain::Offset;

/// Passes everything in the log before the offset `until` to `visit`, which must have been appended
/// already; with [`Offset::MAX`] everything.
///
/// # Errors
/// [`StoreError::Damaged`] where bytes are not what was written, [`StoreError::Lost`] where the log
/// ends before.
pub fn replay(
    folder: &Path,
    until: Offset,
    visit: &mut dyn FnMut(Entry<'_>),
) -> Result<(), StoreError> {
    let all = (Begins::default(), until);
    let read = read_all(folder, Acknowledged::default(), all, visit)?;
    if until != Offset::MAX && read.end < until {
        return Err(segment::shorter(folder, read.end, until));
    }
    Ok(())
}

/// Passes everything in a log that another process may be writing to; `proven`: whether the folder
/// has the list of its files and the mark.
///
/// # Errors
/// As [`replay`], and [`StoreError::Lost`] where there is less than there must be.
pub fn replay_beside(
    folder: &Path,
    proven: bool,
    visit: &mut dyn FnMut(Entry<'_>),
) -> Result<(), StoreError> {
    let opening = Opening { proven, ..Opening::default() };
    // Read before the files, which only grow.
    let Proof { acknowledged, .. } = Proof::of(folder, opening)?;
    let all = (Begins::default(), Offset::MAX);
    let read = read_all(folder, acknowledged, all, visit)?;
    if read.end < acknowledged.offset {
        return Err(segment::shorter(folder, read.end, acknowledged.offset));
    }
    Ok(())
}

/// Reads the files of a log before the one that begins at `until`, and checks that their bytes are what was
/// written; rests as `pace` says, and ends early where `is_over`.
///
/// # Errors
/// [`StoreError::Damaged`] where they are not, [`StoreError::Io`] where the disk fails.
pub fn check(
    folder: &Path,
    until: Offset,
    pace: &Pace,
    is_over: impl Fn() -> bool,
) -> Result<(), StoreError> {
    let whole = Acknowledged { offset: Offset::MAX, ordered: true };
    for (base, path) in segment::list(folder)?.into_iter().filter(|(base, _)| *base < until) {
        if is_over() {
            break;
        }
        segment::read_blocks(&path, base, whole, Offset::MAX, &mut |_, _| {
            // What is over is not waited for.
            if !is_over() {
                pace.rest();
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The content of a log.
#[derive(Debug)]
pub(super) struct Read {
    /// Offset just past the last record.
    pub(super) end: Offset,
    /// The start of each file.
    pub(super) segments: Vec<Begins>,
    /// The last file, and up to where it could be read.
    pub(super) last: Option<(PathBuf, segment::Extent)>,
    /// Number of users and items named.
    pub(super) names: Names,
}

/// Reads the files of a log from the one that begins at `from`. The last may be torn beyond the `acknowledged`.
pub(super) fn read_all(
    folder: &Path,
    acknowledged: Acknowledged,
    (from, until): (Begins, Offset),
    visit: &mut dyn FnMut(Entry<'_>),
) -> Result<Read, StoreError> {
    let mut files = segment::list(folder)?;
    files.retain(|(base, _)| *base >= from.base);
    let names = Names { users: from.users, items: from.items };
    let mut read = Read { end: from.base, segments: Vec::new(), last: None, names };

    for (i, (base, path)) in files.iter().enumerate() {
        if *base >= until {
            break;
        }

        if *base != read.end {
            let what = format!(
                "the log ends at offset {} before it, and it begins at {base}: one before it is \
                 missing",
                read.end
            );
            return Err(StoreError::lost(path, what));
        }

        let Names { users, items } = read.names;
        read.segments.push(Begins { base: *base, users, items });

        // Closed files were flushed before the next began.
        let is_last = i + 1 == files.len();
        let whole = Acknowledged { offset: Offset::MAX, ordered: true };
        let acknowledged = if is_last { acknowledged } else { whole };
        let names = &mut read.names;
        let extent =
            segment::read_blocks(path, *base, acknowledged, until, &mut |header, payload| {
                let mut unnamed = Ok(());
                block::decode(payload, header.first_offset, header.records, &mut |entry| {
                    if unnamed.is_ok() {
                        unnamed = names.check(&entry);
                    }
                    if unnamed.is_ok() {
                        visit(entry);
                    }
                })?;
                unnamed
            })?;

        read.end = extent.end_offset;
        read.last = Some((path.clone(), extent));
    }
    Ok(read)
}

/// Number of names so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Names {
    pub(super) users: u64,
    pub(super) items: u64,
}

impl Names {
    /// Counts the names, and refuses records that refer to others.
    pub(super) fn check(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        match entry {
            Entry::User(_) => self.users += 1,
            Entry::Item(_) => self.items += 1,
            Entry::Record(offset, record) => {
                let (user, item) = record.names();
                let known = user.is_none_or(|user| u64::from(user) < self.users)
                    && item.is_none_or(|item| u64::from(item) < self.items);
                if !known {
                    let what = "speaks of a user or an item that is named nowhere before it";
                    return Err(format!("the record at offset {offset} {what}"));
                }
            }
        }
        Ok(())
    }
}
