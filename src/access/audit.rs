//! The audit log: who did which act of administration, with what, when, and its outcome. JSON lines
//! in `DIR/audit/audit.jsonl`, appended and flushed to disk one by one; a full file is renamed to
//! `audit-N.jsonl`, and the oldest are removed. No line holds personal data.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AccessError;
use super::failures::Failures;
use crate::store::files;

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditOptions {
    /// Size at which a new file begins, in MiB.
    pub file_mib: u64,
    /// Number of full files kept.
    pub keep: usize,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { file_mib: 16, keep: 20 }
    }
}

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Act {
    /// Who: the name of a key, "(no key)" on a server without keys, "(command line)".
    pub by: String,
    /// The store.
    pub store: String,
    /// What: service and method, e.g. "ModelService/ActivateModel".
    pub act: String,
    /// With what: the fields of the request that name no person.
    pub with: Value,
    /// The outcome: "OK", or the status code.
    pub outcome: String,
    /// The reason of a failure; empty where it could hold what the request held.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The outcome of an act that succeeded.
pub const OK: &str = "OK";

/// What [`Act::by`] is for the command line on a data folder.
pub const COMMAND_LINE: &str = "(command line)";
/// What [`Act::by`] is for a server without keys.
pub const NO_KEY: &str = "(no key)";

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    act: &'a Act,
    /// Failed acts of the same key since its last line that have none.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The audit log of a data folder.
#[derive(Debug)]
pub struct Audit {
    folder: PathBuf,
    options: AuditOptions,
    /// Opened by the first act.
    file: Mutex<Option<File>>,
    failures: Failures,
}

impl Audit {
    /// The audit log of the data folder `data`.
    pub fn of(data: &Path, options: AuditOptions) -> Self {
        Self {
            folder: data.join("audit"),
            options,
            file: Mutex::default(),
            failures: Failures::default(),
        }
    }

    /// Appends a line, which is on disk when this returns; of failed acts of one key only some. A
    /// failure is also logged as an error, with the line.
    ///
    /// # Errors
    /// [`AccessError::Io`] where the disk fails.
    pub fn record(&self, act: &Act) -> Result<(), AccessError> {
        let skipped = if act.outcome == OK { Some(0) } else { self.failures.note(&act.by) };
        let Some(skipped) = skipped else { return Ok(()) };
        let recorded = self.append(act, skipped);
        if let Err(error) = &recorded {
            tracing::error!(%error, act = ?act, "an act of administration is not in the audit log");
        }
        recorded
    }

    fn append(&self, act: &Act, skipped: u64) -> Result<(), AccessError> {
        let path = self.current();
        let failed = |e: std::io::Error| AccessError::io("write", &path)(e);
        let line = Line { time: Timestamp::now().to_string(), act, skipped };
        let mut line = serde_json::to_vec(&line).map_err(|e| failed(e.into()))?;
        line.push(b'\n');

        let mut held = self.file.lock();
        let mut file = held.take().map_or_else(|| self.open(), Ok)?;
        if self.is_full(&file).map_err(failed)? {
            // A full file that stays takes the line all the same.
            match self.rotate() {
                Ok(()) => file = self.open()?,
                Err(error) => tracing::error!(%error, "the audit log does not begin a new file"),
            }
        }

        // After a failure the file is opened anew, which ends a line that is not whole.
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(failed)?;
        *held = Some(file);
        Ok(())
    }

    fn current(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    fn is_full(&self, file: &File) -> std::io::Result<bool> {
        let bytes = file.metadata()?.len();
        Ok(bytes > 0 && bytes >= self.options.file_mib << 20)
    }

    fn open(&self) -> Result<File, AccessError> {
        let folder = &self.folder;
        files::create_folder(folder).map_err(AccessError::io("create", folder))?;
        files::make_private(folder).map_err(AccessError::io("make private", folder))?;

        let path = self.current();
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(AccessError::io("open", &path))?;
        files::sync_folder(folder).map_err(AccessError::io("flush", folder))?;

        // What a crash left of a line ends there, and the next line stands alone.
        let mut file = file;
        if ends_within_a_line(&path).map_err(AccessError::io("read", &path))? {
            file.write_all(b"\n").map_err(AccessError::io("write", &path))?;
        }
        Ok(file)
    }

    /// Renames the full file, and removes the oldest ones.
    fn rotate(&self) -> Result<(), AccessError> {
        let folder = &self.folder;
        let names = files::names(folder).map_err(AccessError::io("list", folder))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();

        let next = numbers.last().map_or(1, |last| last + 1);
        let full = self.full(next);
        fs::rename(self.current(), &full).map_err(AccessError::io("rename", &full))?;
        numbers.push(next);
        let superfluous = numbers.len().saturating_sub(self.options.keep.max(1));
        for number in &numbers[..superfluous] {
            let path = self.full(*number);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "an old audit log stays");
            }
        }
        Ok(())
    }

    fn full(&self, number: u64) -> PathBuf {
        self.folder.join(format!("audit-{number}.jsonl"))
    }
}

/// The number in the name of a full file.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix("audit-")?.strip_suffix(".jsonl")?.parse().ok()
}

fn ends_within_a_line(path: &Path) -> std::io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};

    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(name: &str) -> Act {
        Act {
            by: "ops".to_owned(),
            store: "default".to_owned(),
            act: name.to_owned(),
            with: serde_json::json!({"generation": 3}),
            outcome: "OK".to_owned(),
            reason: String::new(),
        }
    }

    #[test]
    fn lines_are_appended_whole_also_after_a_torn_one() {
        let folder = tempfile::tempdir().unwrap();
        Audit::of(folder.path(), AuditOptions::default()).record(&act("a")).unwrap();
        let path = folder.path().join("audit/audit.jsonl");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 5]).unwrap();

        let audit = Audit::of(folder.path(), AuditOptions::default());
        audit.record(&act("b")).unwrap();
        audit.record(&act("c")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<Option<Value>> =
            text.lines().map(|line| serde_json::from_str(line).ok()).collect();
        assert!(lines.len() == 3 && lines[0].is_none(), "{text}");
        let last = lines[2].as_ref().unwrap();
        assert_eq!(
            (last["act"].as_str(), last["with"]["generation"].as_i64()),
            (Some("c"), Some(3))
        );
    }

    #[test]
    fn full_files_are_kept_up_to_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let audit = || Audit::of(folder.path(), AuditOptions { file_mib: 0, keep: 2 });
        let server = audit();
        (0..4).for_each(|n| server.record(&act(&n.to_string())).unwrap());
        // Another process, with one line.
        audit().record(&act("4")).unwrap();
        let mut names = files::names(&folder.path().join("audit")).unwrap();
        names.sort();
        assert_eq!(names, ["audit-3.jsonl", "audit-4.jsonl", "audit.jsonl"]);
        let text = fs::read_to_string(folder.path().join("audit/audit-4.jsonl")).unwrap();
        assert!(text.contains("\"act\":\"3\""), "{text}");
    }
}
