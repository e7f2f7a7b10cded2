//! Rewrites files of the log without the data of erased users. Their names become empty and their
//! records [`Record::Gone`], so that every idx and every offset stays.

use std::collections::HashSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::block::{self, BlockBuilder, Entry};
use super::frame::Header;
use super::mark::Acknowledged;
use super::record::Record;
use super::{StoreError, files, frame, segment};
use crate::domain::{Offset, UserIdx};

/// Ending of a temporary file that will replace another.
const ASIDE: &str = "rewriting";

/// Closed files are on disk to their last byte.
const WHOLE: Acknowledged = Acknowledged { offset: Offset::MAX, ordered: true };

/// A file to rewrite.
struct Task {
    base: Offset,
    path: PathBuf,
    /// Users whose names are defined in the files before it.
    users_before: UserIdx,
}

/// Rewrites the log's files with data of `erased` users, except the open one; returns their number.
/// Each is replaced as a whole, the newest first: what a crash leaves still names every user with
/// remaining data. `stop` is called before every file.
///
/// # Errors
/// [`StoreError::Stopped`] where `stop` returns true, [`StoreError::Io`] where the disk fails; files
/// rewritten by then stay so, and the log is whole. [`StoreError::Damaged`] where bytes are not
/// what was written.
pub fn compact(
    folder: &Path,
    erased: &HashSet<UserIdx>,
    mut stop: impl FnMut() -> bool,
) -> Result<usize, StoreError> {
    let mut segments = segment::list(folder)?;
    segments.pop();

    let mut users = 0;
    let mut tasks = Vec::new();
    for (base, path) in segments {
        if stop() {
            return Err(StoreError::Stopped);
        }

        let users_before = users;
        let mut concerned = false;
        segment::read_blocks(&path, base, WHOLE, Offset::MAX, &mut |header, payload| {
            block::decode(payload, header.first_offset, header.records, &mut |entry| match entry {
                Entry::User(name) => {
                    concerned |= !name.is_empty() && erased.contains(&users);
                    users += 1;
                }
                Entry::Item(_) => {}
                Entry::Record(_, record) => {
                    concerned |= record.user().is_some_and(|user| erased.contains(&user));
                }
            })
        })?;

        if concerned {
            tasks.push(Task { base, path, users_before });
        }
    }

    for task in tasks.iter().rev() {
        if stop() {
            return Err(StoreError::Stopped);
        }
        let aside = task.path.with_extension(ASIDE);
        rewrite(folder, task, &aside, erased).inspect_err(|_| drop(fs::remove_file(&aside)))?;
    }
    Ok(tasks.len())
}

/// Removes temporary files that a crash left.
///
/// # Errors
/// [`StoreError::Io`] where the folder cannot be listed.
pub(super) fn sweep(folder: &Path) -> Result<(), StoreError> {
    for name in files::names(folder).map_err(StoreError::io("list", folder))? {
        let path = folder.join(name);
        if path.extension().is_none_or(|end| end != ASIDE) {
            continue;
        }
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "an incomplete file stays on disk");
        }
    }
    Ok(())
}

fn rewrite(
    folder: &Path,
    task: &Task,
    aside: &Path,
    erased: &HashSet<UserIdx>,
) -> Result<(), StoreError> {
    let failed = |e| StoreError::io("write to", aside)(e);
    let mut out = BufWriter::new(files::create(aside).map_err(failed)?);
    out.write_all(&segment::header(task.base)).map_err(failed)?;
    let mut users = task.users_before;
    let mut written = Ok(());
    segment::read_blocks(&task.path, task.base, WHOLE, Offset::MAX, &mut |header, payload| {
        let block = without(header, payload, erased, &mut users)?;
        let bytes = frame::encode(&block.payload(), block.len(), header.first_offset);
        if written.is_ok() {
            written = out.write_all(&bytes);
        }
        Ok(())
    })?;

    written.map_err(failed)?;
    let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
    file.sync_all().map_err(failed)?;
    fs::rename(aside, &task.path)
        .and_then(|()| files::sync_folder(folder))
        .map_err(StoreError::io("replace", &task.path))
}

/// A block without the erased users; `users` counts the names so far.
fn without(
    header: &Header,
    payload: &[u8],
    erased: &HashSet<UserIdx>,
    users: &mut UserIdx,
) -> Result<BlockBuilder, String> {
    let mut kept = BlockBuilder::default();
    block::decode(payload, header.first_offset, header.records, &mut |entry| match entry {
        Entry::User(name) => {
            kept.define_user(if erased.contains(users) { "" } else { name });
            *users += 1;
        }
        Entry::Item(name) => kept.define_item(name),
        Entry::Record(_, record) => {
            let gone = record.user().is_some_and(|user| erased.contains(&user));
            kept.push(if gone { &Record::Gone } else { &record });
        }
    })?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::super::{Durability, Log, Opening, StoredEvent, ledger, replay};
    use super::*;
    use crate::domain::{EventKind, HideScope};

    fn event(user: UserIdx, event_id: &str) -> Record<'_> {
        Record::Event(StoredEvent {
            user,
            item: 0,
            kind: EventKind::View,
            time_ms: 1,
            quantity: 1.0,
            price: None,
            rating: None,
            event_id,
            basket_id: "",
            session_id: "",
            recommendation_id: "",
            channel: "",
            dwell_ms: None,
            scope: HideScope::Item,
            reason: "",
            review: "",
            sentiment: None,
        })
    }

    fn entries(folder: &Path) -> Vec<String> {
        let mut all = Vec::new();
        replay(folder, Offset::MAX, &mut |entry| all.push(format!("{entry:?}"))).unwrap();
        all
    }

    /// Twenty records of three users in turn, in several files.
    fn written(folder: &Path) {
        let mut log = open(folder);
        for round in 0..20 {
            let mut block = BlockBuilder::default();
            if round == 0 {
                ["anna", "ben", "carl"].iter().for_each(|name| block.define_user(name));
                block.define_item("tea");
            }
            let id = format!("event-{round}");
            block.push(&event(round % 3, &id));
            log.append(&block).unwrap();
            log.commit().unwrap();
        }
        log.roll().unwrap();
    }

    fn open(folder: &Path) -> Log {
        let opening = Opening {
            durability: Durability::PowerLoss,
            segment_bytes: 300,
            proven: ledger::path(folder).exists(),
            ..Opening::default()
        };
        Log::open(folder, opening, &mut |_| {}).unwrap()
    }

    #[test]
    fn nothing_of_an_erased_user_stays_and_all_else_keeps_its_place() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        let before = entries(dir.path());
        let ben = HashSet::from([1]);
        let rewritten = compact(dir.path(), &ben, || false).unwrap();
        assert!(rewritten > 1, "{rewritten}");
        let after = entries(dir.path());
        assert_eq!(after.len(), before.len());

        for (before, after) in before.iter().zip(&after) {
            let of_ben = before.contains("ben") || before.contains("user: 1");
            assert_eq!(before == after, !of_ben, "{before} {after}");
            assert!(!after.contains("ben") && !after.contains("event-4"), "{after}");
        }

        assert_eq!(compact(dir.path(), &ben, || false).unwrap(), 0, "nothing is left to do");
        // Writing continues where it was.
        assert_eq!(open(dir.path()).next_offset(), 20);
    }

    #[test]
    fn while_anything_is_left_of_a_user_they_are_named() {
        let ben = HashSet::from([1]);
        let mut stopped = 0;
        for looks in 0.. {
            let dir = tempfile::tempdir().unwrap();
            written(dir.path());
            std::fs::write(dir.path().join("00000000000000000000.rewriting"), "half").unwrap();
            let mut left = looks;
            let outcome = compact(dir.path(), &ben, || {
                left -= 1;
                left < 0
            });
            drop(open(dir.path()));

            let text = entries(dir.path()).join("\n");
            assert!(!text.contains("user: 1") || text.contains("ben"), "after {looks}: {text}");
            let mut files = std::fs::read_dir(dir.path()).unwrap().flatten();
            let half = |f: std::fs::DirEntry| f.path().extension().is_some_and(|e| e == ASIDE);
            assert!(!files.any(half), "half-written files go");

            match outcome {
                Err(StoreError::Stopped) => stopped += 1,
                outcome => {
                    outcome.unwrap();
                    break;
                }
            }
        }
        assert!(stopped > 5, "{stopped}");
    }
}
