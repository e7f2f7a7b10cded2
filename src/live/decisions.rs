//! What people decided: the newest versions of each kind of decision, whole.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::Decision;

/// Maximum number of versions of a kind; the oldest leave.
const KEPT: usize = 20;

/// A version of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Its version, counted from 1.
    pub version: u32,
    /// When it was made, in milliseconds since 1970.
    pub time_ms: i64,
    /// Why, in the person's words; may be empty.
    pub note: String,
    /// What is decided, as JSON.
    pub body: Arc<str>,
}

/// The decisions of a store.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Decisions(BTreeMap<String, VecDeque<Decided>>);

impl Decisions {
    /// Notes a decision.
    pub fn note(&mut self, decision: &Decision<'_>) {
        let versions = self.0.entry(decision.kind.to_owned()).or_default();
        if versions.len() == KEPT {
            versions.pop_front();
        }
        versions.push_back(Decided {
            version: decision.version,
            time_ms: decision.time_ms,
            note: decision.note.to_owned(),
            body: decision.body.into(),
        });
    }

    /// The versions of a kind that are kept, newest first.
    pub fn versions(&self, kind: &str) -> impl Iterator<Item = &Decided> {
        self.0.get(kind).into_iter().flat_map(|versions| versions.iter().rev())
    }

    /// The version of a kind that is in force: the newest.
    pub fn newest(&self, kind: &str) -> Option<&Decided> {
        self.versions(kind).next()
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let all = self.0.values().flatten();
        all.map(|decided| size_of::<Decided>() + decided.note.len() + decided.body.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_in_force_and_the_oldest_leave() {
        let mut decisions = Decisions::default();
        for version in 1..=25 {
            let body = format!("[{version}]");
            let (kind, note) = ("rules", "");
            decisions.note(&Decision { kind, version, time_ms: 1, note, body: &body });
        }
        assert_eq!(decisions.newest("rules").unwrap().version, 25);
        assert_eq!(decisions.versions("rules").last().unwrap().version, 6);
        assert_eq!(decisions.newest("placements"), None);
        assert!(decisions.bytes() > 20 * 4);
    }
}
