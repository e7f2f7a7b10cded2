//! Who wrote a log. Every process that opens a log to write to it is a writer with a name of its own; the
//! list has each of them with the offset from which on it wrote.
//!
//! A copy of the log is a part of it where the writer of the copy's last record wrote that record here too:
//! it is listed, and the next writer did not begin before the copy's end. So are copies told apart from logs
//! that have gone another way, without comparing records (leader epochs of Kafka, KIP-101,
//! <https://cwiki.apache.org/confluence/x/oQQIB>).

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{StoreError, files, sealed};
use crate::domain::Offset;

/// Its file in the log's folder.
pub(super) const NAME: &str = "WRITERS";
/// Maximum number of writers in the list; the oldest leave.
const MAX_WRITERS: usize = 10_000;

/// A writer of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogWriter {
    /// Its name, which no other writer has: a UUID.
    pub id: String,
    /// Offset of the first record that it may have written.
    pub begins: Offset,
}

/// The writers of a log, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Writers {
    list: Vec<LogWriter>,
}

impl Writers {
    /// Reads the list in a log's folder; an empty one where there is none, as in folders of earlier versions.
    ///
    /// # Errors
    /// [`StoreError::Io`] where it cannot be read, [`StoreError::Lost`] where it is damaged.
    pub fn read(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(NAME);
        let Some(bytes) = files::read_if_there(&path).map_err(StoreError::io("read", &path))?
        else {
            return Ok(Self::default());
        };
        let writers: Self = sealed::unseal(&bytes).map_err(|what| StoreError::lost(&path, what))?;
        writers.check().map_err(|what| StoreError::lost(&path, what))?;
        Ok(writers)
    }

    /// Writes the list into a log's folder, durably.
    ///
    /// # Errors
    /// Where the disk fails; the list before stays then.
    pub fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(NAME);
        let bytes = sealed::seal(self).map_err(|e| StoreError::lost(&path, e))?;
        files::replace(&path, &bytes).map_err(StoreError::io("write", &path))
    }

    /// Adds a new writer of a log that ends at `end`, in the place of those that have written nothing of it: a
    /// copy has the list before it has the records. The first one stays all the same, since the log is of its
    /// origin, also where nothing of it was copied yet. What lies before the first writer, in folders of earlier
    /// versions, counts as its own.
    pub fn begin(&mut self, end: Offset) {
        let id = uuid::Uuid::now_v7().to_string();
        let begins = if self.list.is_empty() { 0 } else { end };
        let origin = self.list.first().map(|first| first.id.clone());
        let is_origin = |writer: &LogWriter| Some(&writer.id) == origin.as_ref();
        self.list.retain(|writer| {
            writer.begins < begins || writer.begins == begins && is_origin(writer)
        });
        self.list.push(LogWriter { id, begins });
        let beyond = self.list.len().saturating_sub(MAX_WRITERS);
        self.list.drain(..beyond);
    }

    /// The last one; none in a folder of an earlier version.
    pub fn last(&self) -> Option<&str> {
        self.list.last().map(|last| last.id.as_str())
    }

    /// Whether one of them has this name.
    pub fn has(&self, id: &str) -> bool {
        self.list.iter().any(|writer| writer.id == id)
    }

    /// The writer of the last record before `end`; none where there is no record, or it is not known.
    pub fn of(&self, end: Offset) -> Option<&str> {
        let writer = self.list.iter().rfind(|writer| writer.begins < end);
        writer.map(|writer| writer.id.as_str())
    }

    /// Whether a copy that ends at `copied`, and whose last record is by `writer`, is a part of the log with
    /// this list, which ends at `end`.
    pub fn hold(&self, writer: Option<&str>, copied: Offset, end: Offset) -> bool {
        if copied == 0 {
            return true;
        }
        let at = self.list.iter().position(|listed| Some(listed.id.as_str()) == writer);
        at.is_some_and(|at| {
            let until = self.list.get(at + 1).map_or(end, |next| next.begins);
            self.list[at].begins < copied && copied <= until.min(end)
        })
    }

    /// Whether both logs are of one origin: some process has written to both.
    pub fn have_origin_of(&self, other: &Self) -> bool {
        let is_in_both = |writer: &LogWriter| self.list.iter().any(|own| own.id == writer.id);
        other.list.iter().any(is_in_both)
    }

    /// Checks that the list is in order, and no longer than one may be.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.list.len() > MAX_WRITERS {
            return Err(format!("there are {} writers, over the limit", self.list.len()));
        }
        if self.list.windows(2).all(|pair| pair[0].begins <= pair[1].begins) {
            Ok(())
        } else {
            Err("its writers are in no order".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writers(begins: &[Offset]) -> Writers {
        let writer =
            |(n, begins): (usize, &Offset)| LogWriter { id: n.to_string(), begins: *begins };
        Writers { list: begins.iter().enumerate().map(writer).collect() }
    }

    #[test]
    fn a_copy_is_a_part_where_its_last_writer_wrote_as_far() {
        let log = writers(&[0, 40, 40, 90]);
        for (writer, copied, expected) in [
            ("0", 40, true),
            ("0", 39, true),
            ("0", 41, false),
            ("1", 40, false),
            ("2", 41, true),
            ("2", 90, true),
            ("2", 91, false),
            ("2", 40, false),
            ("3", 100, true),
            ("3", 101, false),
            ("4", 50, false),
        ] {
            assert_eq!(log.hold(Some(writer), copied, 100), expected, "{writer} at {copied}");
        }
        assert!(log.hold(None, 0, 100), "nothing is a part of everything");
        assert!(!log.hold(None, 1, 100));

        assert!(log.have_origin_of(&writers(&[0])) && !log.have_origin_of(&Writers::default()));
        let of = |end| log.of(end);
        assert_eq!(
            [of(0), of(1), of(40), of(41), of(91)],
            [None, Some("0"), Some("0"), Some("2"), Some("3")]
        );
    }

    #[test]
    fn a_copy_that_lags_takes_over_without_the_writers_behind_its_end() {
        let mut copy = writers(&[0, 1_000]);
        assert!(!copy.hold(Some("0"), 800, 500), "the log itself ends before");
        copy.begin(500);
        assert_eq!(copy.check(), Ok(()));
        assert_eq!(copy.list.iter().map(|w| w.begins).collect::<Vec<_>>(), [0, 500]);
        assert!(copy.hold(Some("0"), 500, 600) && !copy.hold(Some("0"), 800, 600));
        assert!(!copy.hold(Some("1"), 1_001, 1_100));
    }

    #[test]
    fn a_log_of_which_nothing_was_copied_yet_keeps_its_origin() {
        let first = writers(&[0]);
        let mut next = first.clone();
        next.begin(0);
        next.begin(0);
        assert_eq!((next.list.len(), next.check()), (2, Ok(())));
        assert!(next.have_origin_of(&first) && first.have_origin_of(&next));
        assert_eq!(next.of(1), Some(&*next.list[1].id));
        assert!(!next.hold(Some("0"), 40, 100), "what the first one wrote has gone another way");
    }

    #[test]
    fn the_list_is_read_back_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Writers::read(folder.path()).unwrap(), Writers::default());
        let mut list = Writers::default();
        for end in 0..=MAX_WRITERS as Offset {
            list.begin(end);
        }
        list.write(folder.path()).unwrap();
        assert_eq!(Writers::read(folder.path()).unwrap(), list);
        assert_eq!((list.list.len(), list.list[0].begins), (MAX_WRITERS, 1));
        let mut of_before = Writers::default();
        of_before.begin(40);
        assert!(of_before.hold(of_before.of(40), 40, 40), "a log of an earlier version");
        std::fs::write(folder.path().join(NAME), "{").unwrap();
        assert!(Writers::read(folder.path()).unwrap_err().to_string().contains("WRITERS"));
        let twisted = writers(&[40, 0]);
        assert!(twisted.check().is_err());
    }
}
