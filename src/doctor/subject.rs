//! What is examined: a file of events, or the log of a data folder.

use std::path::Path;

use ahash::AHashSet;

use super::examination::Examination;
use super::examined::Examined;
use crate::domain::{BoxError, Event};
use crate::import::convert::NoEvent;
use crate::import::{Plan, Reader, Row, identity};
use crate::store::{Entry, Record, StoreFolder, replay_beside};

/// Examines the rows of a file, as an import would read them.
///
/// # Errors
/// Where the file breaks off.
pub fn examine_file(
    reader: &mut dyn Reader,
    plan: &Plan,
    now_ms: i64,
    examination: &mut Examination,
) -> Result<(), BoxError> {
    let mut row = Row::default();
    let mut seen = Seen::default();
    while let Some(read) = reader.next(&mut row)? {
        if let Err(refusal) = read {
            examination.refused(row.line, &refusal);
            continue;
        }

        let line = row.line;
        match plan.event(&mut row, now_ms) {
            Ok(converted) => {
                for field in &converted.dropped {
                    examination.dropped(line, field);
                }
                let event = &converted.value.event;
                let repeats = seen.repeats(event);
                if !(repeats && plan.drops_duplicates()) {
                    examination.event(&Examined::of(event, line, repeats));
                }
            }
            Err(NoEvent::Refused(refusal)) => examination.refused(line, &refusal),
            Err(NoEvent::Skipped(_)) => {}
        }
    }
    Ok(())
}

/// Examines the log of the store `name` in a data folder, which a server may have open.
///
/// # Errors
/// Where the log is damaged or there is none.
pub fn examine_store(
    data: &Path,
    name: &str,
    examination: &mut Examination,
) -> Result<(), BoxError> {
    let folder = StoreFolder::beside(data, name)?;
    let (mut users, mut items) = (Vec::new(), Vec::new());
    let mut seen = Seen::default();

    replay_beside(&folder.log(), folder.is_proven(), &mut |entry| match entry {
        Entry::User(id) => users.push(id.to_owned()),
        Entry::Item(id) => items.push(id.to_owned()),
        Entry::Record(offset, Record::Event(stored)) => {
            let event = stored.named(id(&users, stored.user), id(&items, stored.item));
            // An erased user has no name.
            if !event.user_id.is_empty() {
                let repeats = seen.repeats(&event);
                examination.event(&Examined::of(&event, offset, repeats));
            }
        }
        Entry::Record(_, Record::Item(idx, _)) => {
            if let Some(id) = items.get(idx as usize) {
                examination.catalogue_item(id);
            }
        }
        Entry::Record(..) => {}
    })?;
    Ok(())
}

/// The id of an idx; empty where it has none.
fn id(ids: &[String], idx: u32) -> &str {
    ids.get(idx as usize).map_or("", String::as_str)
}

/// The events so far, by which repetitions are known.
#[derive(Default)]
struct Seen {
    hashes: AHashSet<u64>,
    bytes: Vec<u8>,
}

impl Seen {
    /// Whether an event equals an earlier one.
    fn repeats(&mut self, event: &Event) -> bool {
        !self.hashes.insert(identity::hash(event, &mut self.bytes))
    }
}
