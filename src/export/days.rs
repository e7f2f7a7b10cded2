//! The log as a folder of Parquet files by day, to which each export appends what is new: what Spark, or anything
//! that reads Parquet, trains on. `FOLDER/day=2026-11-28/part-FROM-TO.parquet` holds events of that day, by UTC, whose
//! records lie between two offsets of the log; [`LIST`] names the files, and is replaced last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::columns::Format;
use super::error::ExportError;
use super::events::EventTable;
use super::reading::Reading;
use crate::domain::{DAY_MS, Offset};
use crate::store::{StoredEvent, Writers, files};

/// The list of the files in force.
pub const LIST: &str = "_days.json";
/// Where files are written before they are in force; readers of Parquet leave out such names.
const NEW: &str = "_new";
const LOCK: &str = "_lock";
/// Rows of all files that are written at once which may wait for their row groups to be full.
const MAX_WAITING: u64 = 1 << 19;
/// Rows of one file that wait at most.
const MAX_WAITING_OF_ONE: u64 = 1 << 17;
/// Files that are written at once.
const MAX_FILES: usize = 200;

/// The files in force.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayList {
    /// Records before this offset were exported.
    pub log_offset: Offset,
    /// The last writer of the log then, by which the store is known again; empty where it is not known.
    #[serde(default)]
    pub writer: String,
    /// What there is of each day, by its date.
    pub days: BTreeMap<String, Day>,
}

/// The events of one day.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Number of events.
    pub rows: u64,
    /// Paths of the files, within the folder.
    pub files: Vec<String>,
    /// A sum over the events and their users: another one where a user was erased, linked, or withdrew their consent.
    fingerprint: u64,
}

/// The outcome of an export by day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenDays {
    /// Days to which events were added.
    pub added: usize,
    /// Days that were written anew, because events of them are gone, or are another user's.
    pub rewritten: usize,
    /// Events written.
    pub rows: u64,
    /// Records before this offset are exported now.
    pub log_offset: Offset,
}

/// What the log has of a day.
#[derive(Debug, Default)]
struct Found {
    /// Events whose records were exported already.
    before: u64,
    fingerprint_before: u64,
    /// Events since.
    new: u64,
    fingerprint_new: u64,
}

/// A file to write.
struct Part {
    /// Records from this offset on.
    from: Offset,
    /// Whether it takes the place of the day's other files.
    is_anew: bool,
    rows: u64,
    path: String,
}

impl Reading {
    /// Appends to a folder what is new since the last export there, each event to its day, and writes days anew of
    /// which events are gone. A reader of the files that [`LIST`] names sees all of it or nothing.
    ///
    /// # Errors
    /// See [`ExportError`]; where another export runs, or the folder holds more of the log than there is.
    pub fn days(&self, folder: &Path) -> Result<WrittenDays, ExportError> {
        check_folder(folder)?;
        files::create_folder(folder).map_err(failed(folder))?;
        let _lock = lock(folder)?;
        let mut list = read_list(folder)?;
        let end = self.live.offset();
        let writers = Writers::read(&self.folder.log())?;
        let is_known = list.writer.is_empty() || writers.has(&list.writer);
        if list.log_offset > end || !is_known {
            return Err(ExportError::Nothing(format!(
                "{} is of another store, or of this one before a backup was restored: give it a folder of its own",
                folder.display()
            )));
        }
        if let Some(writer) = writers.last() {
            writer.clone_into(&mut list.writer);
        }
        remove_unlisted(folder, &list)?;

        let found = self.found(list.log_offset)?;
        let parts = parts(&list, &found, end);
        let rewritten = parts.values().filter(|part| part.is_anew).count();
        let rows = parts.values().map(|part| part.rows).sum();
        self.write_parts(folder, &parts)?;
        let added = parts.len() - rewritten;

        let list = next_list(list, &found, parts, end);
        let json =
            serde_json::to_vec_pretty(&list).map_err(|e| ExportError::Write(e.to_string()))?;
        // What is no longer in force stays until the next export: someone may be reading it.
        files::replace(&folder.join(LIST), &json).map_err(failed(folder))?;
        Ok(WrittenDays { added, rewritten, rows, log_offset: end })
    }

    /// What the log has of each day.
    fn found(&self, exported: Offset) -> Result<BTreeMap<i64, Found>, ExportError> {
        let names = self.names();
        let mut days: BTreeMap<i64, Found> = BTreeMap::new();
        self.events(i64::MAX, &mut |offset, event| {
            let mut hash = Xxh3::new();
            hash.update(&offset.to_le_bytes());
            hash.update(names.users.id(event.user).as_bytes());
            let hash = hash.digest();
            let day = days.entry(day_of(event)).or_default();
            if offset < exported {
                day.before += 1;
                day.fingerprint_before = day.fingerprint_before.wrapping_add(hash);
            } else {
                day.new += 1;
                day.fingerprint_new = day.fingerprint_new.wrapping_add(hash);
            }
        })?;
        Ok(days)
    }

    /// Writes files, some at a time, and puts them into their folders.
    fn write_parts(&self, folder: &Path, parts: &BTreeMap<i64, Part>) -> Result<(), ExportError> {
        let aside = folder.join(NEW);
        files::remove_folder(&aside).map_err(failed(&aside))?;
        files::create_folder(&aside).map_err(failed(&aside))?;
        let mut waiting = 0;
        let mut some = BTreeMap::new();
        for (&day, part) in parts.iter().filter(|(_, part)| part.rows > 0) {
            some.insert(day, part);
            waiting += part.rows.min(MAX_WAITING_OF_ONE);
            if waiting >= MAX_WAITING || some.len() == MAX_FILES {
                self.write_some(&aside, &std::mem::take(&mut some))?;
                waiting = 0;
            }
        }
        self.write_some(&aside, &some)?;

        for (day, part) in parts.iter().filter(|(_, part)| part.rows > 0) {
            let (from, to) = (aside.join(day.to_string()), folder.join(&part.path));
            let within = to.parent().unwrap_or(folder);
            files::create_folder(within).map_err(failed(within))?;
            fs::rename(&from, &to).map_err(failed(&to))?;
            files::sync_folder(within).map_err(failed(within))?;
        }
        files::remove_folder(&aside).map_err(failed(&aside))
    }

    fn write_some(&self, aside: &Path, parts: &BTreeMap<i64, &Part>) -> Result<(), ExportError> {
        if parts.is_empty() {
            return Ok(());
        }
        let facts = self.facts(i64::MAX);
        let mut tables = BTreeMap::new();
        for (&day, part) in parts {
            let path = aside.join(day.to_string());
            let file = File::create(&path).map_err(failed(&path))?;
            let table = EventTable::create(file, Format::Parquet, &facts[..1])?;
            tables.insert(day, (part.from, table));
        }

        let names = self.names();
        let mut written = Ok(());
        self.events(i64::MAX, &mut |offset, event| {
            if written.is_ok()
                && let Some((from, table)) = tables.get_mut(&day_of(event))
                && offset >= *from
            {
                written = table.push(event, &names);
            }
        })?;
        written?;
        for (day, (_, table)) in tables {
            table.finish()?;
            let path = aside.join(day.to_string());
            File::open(&path).and_then(|file| file.sync_all()).map_err(failed(&path))?;
        }
        Ok(())
    }
}

/// The files to write: of days with new events, and of those of which other events are to be there by now.
fn parts(list: &DayList, found: &BTreeMap<i64, Found>, end: Offset) -> BTreeMap<i64, Part> {
    let known = list.days.keys().filter_map(|name| number_of(name));
    let days: BTreeSet<i64> = known.chain(found.keys().copied()).collect();
    let nothing = Found::default();
    let part = |day: i64| {
        let name = name_of(day);
        let found = found.get(&day).unwrap_or(&nothing);
        let listed = list.days.get(&name).map_or(0, |day| day.fingerprint);
        let is_anew = listed != found.fingerprint_before;
        let (from, rows) =
            if is_anew { (0, found.before + found.new) } else { (list.log_offset, found.new) };
        if !is_anew && rows == 0 {
            return None;
        }
        let path = format!("day={name}/part-{from:020}-{end:020}.parquet");
        Some((day, Part { from, is_anew, rows, path }))
    };
    days.into_iter().filter_map(part).collect()
}

/// The list with the new files in force.
fn next_list(
    mut list: DayList,
    found: &BTreeMap<i64, Found>,
    parts: BTreeMap<i64, Part>,
    end: Offset,
) -> DayList {
    list.log_offset = end;
    for (number, part) in parts {
        let day = list.days.entry(name_of(number)).or_default();
        if part.is_anew {
            *day = Day::default();
        }
        if let Some(found) = found.get(&number).filter(|_| part.rows > 0) {
            day.rows = found.before + found.new;
            day.fingerprint = found.fingerprint_before.wrapping_add(found.fingerprint_new);
            day.files.push(part.path);
        }
    }
    list.days.retain(|_, day| day.rows > 0);
    list
}

/// The number of an event's day, from 1970-01-01 on, by UTC.
fn day_of(event: &StoredEvent<'_>) -> i64 {
    event.time_ms.div_euclid(DAY_MS)
}

/// A day's date.
fn name_of(day: i64) -> String {
    let moment = jiff::Timestamp::from_millisecond(day * DAY_MS).unwrap_or_default();
    moment.strftime("%Y-%m-%d").to_string()
}

fn number_of(name: &str) -> Option<i64> {
    let date: jiff::civil::Date = name.parse().ok()?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_millisecond().div_euclid(DAY_MS))
}

fn read_list(folder: &Path) -> Result<DayList, ExportError> {
    let path = folder.join(LIST);
    let Some(json) = files::read_if_there(&path).map_err(failed(&path))? else {
        return Ok(DayList::default());
    };
    serde_json::from_slice(&json)
        .map_err(|e| ExportError::Nothing(format!("{} cannot be read: {e}", path.display())))
}

/// Refuses a folder with files that no export has written: what is in it would be mixed with others.
fn check_folder(folder: &Path) -> Result<(), ExportError> {
    let refused = |what: &str| Err(ExportError::Nothing(format!("{} {what}", folder.display())));
    if folder.exists() && !folder.is_dir() {
        return refused("is not a folder");
    }
    if !folder.exists() || folder.join(LIST).exists() {
        return Ok(());
    }
    // The list is written beside itself first.
    let known = [NEW, LOCK, "_days.writing", "lost+found"];
    let is_ours = |name: &String| known.contains(&name.as_str()) || name.starts_with("day=");
    if files::names(folder).map_err(failed(folder))?.iter().all(is_ours) {
        return Ok(());
    }
    refused("holds other files: give the export a folder of its own")
}

/// Removes the files of days that the list does not name: an export that was cut off has left them, or the last one
/// has written their days anew.
fn remove_unlisted(folder: &Path, list: &DayList) -> Result<(), ExportError> {
    let listed: BTreeSet<PathBuf> =
        list.days.values().flat_map(|day| &day.files).map(|file| folder.join(file)).collect();
    for name in files::names(folder).map_err(failed(folder))? {
        if name.strip_prefix("day=").and_then(number_of).is_none() {
            continue;
        }
        let day = folder.join(&name);
        for name in files::names(&day).map_err(failed(&day))? {
            let path = day.join(&name);
            let is_part = name.starts_with("part-") && name.ends_with(".parquet");
            if is_part && !listed.contains(&path) {
                fs::remove_file(&path).map_err(failed(&path))?;
            }
        }
        // One with other files stays.
        let _ = fs::remove_dir(&day);
    }
    Ok(())
}

/// Holds the folder for one export at a time.
fn lock(folder: &Path) -> Result<File, ExportError> {
    let path = folder.join(LOCK);
    let file = files::open_or_create(&path).map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(ExportError::Nothing(format!("{}: another export writes there", folder.display())))
        }
        Err(fs::TryLockError::Error(error)) => Err(failed(&path)(error)),
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> ExportError {
    move |error| ExportError::Write(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_where_events_are_new_and_anew_where_some_are_gone() {
        let of = |before, fingerprint_before, new| Found {
            before,
            fingerprint_before,
            new,
            fingerprint_new: new,
        };
        let listed = |rows, fingerprint| Day { rows, fingerprint, files: vec!["old".into()] };
        let days = BTreeMap::from([
            ("1970-01-02".into(), listed(2, 20)),
            ("1970-01-03".into(), listed(2, 20)),
            ("1970-01-04".into(), listed(2, 20)),
            ("1970-01-05".into(), listed(2, 20)),
        ]);
        let list = DayList { log_offset: 7, days, ..DayList::default() };
        let found = BTreeMap::from([
            (1, of(2, 20, 0)),
            (2, of(2, 20, 3)),
            (3, of(1, 9, 1)),
            (5, of(0, 0, 4)),
        ]);

        let parts = parts(&list, &found, 19);
        let written: Vec<_> =
            parts.iter().map(|(day, part)| (*day, part.from, part.is_anew, part.rows)).collect();
        assert_eq!(written, [(2, 7, false, 3), (3, 0, true, 2), (4, 0, true, 0), (5, 7, false, 4)]);

        let next = next_list(list, &found, parts, 19);
        let files: Vec<_> =
            next.days.iter().map(|(day, of)| (&**day, of.rows, of.files.len())).collect();
        assert_eq!(
            files,
            [
                ("1970-01-02", 2, 1),
                ("1970-01-03", 5, 2),
                ("1970-01-04", 2, 1),
                ("1970-01-06", 4, 1)
            ]
        );
        assert_eq!(next.log_offset, 19);
    }

    #[test]
    fn dates_are_those_of_utc() {
        for (day, name) in [(0, "1970-01-01"), (20_785, "2026-11-28")] {
            assert_eq!((name_of(day), number_of(name)), (name.to_owned(), Some(day)));
        }
        assert_eq!(number_of("new"), None);
    }
}
