//! How the lists of two models differ: told of one by one and summed up.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use super::query::{Answer, RecommendRequest};
use crate::domain::{Generation, Result, UserIdx, now_ms};
use crate::model::{Settings, Snapshot};

/// Places of a list that are compared.
const COMPARED: usize = 10;

/// Lists compared so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Comparison {
    /// How many.
    pub lists: u64,
    overlap: f64,
    same_first: u64,
}

impl Comparison {
    /// Takes in two lists of the same shopper, best first.
    pub(super) fn note(&mut self, one: &[String], other: &[String]) {
        let both = one.iter().filter(|id| other.contains(id)).count();
        let longest = one.len().max(other.len());
        self.lists += 1;
        self.overlap += if longest == 0 { 1.0 } else { both as f64 / longest as f64 };
        self.same_first += u64::from(one.first() == other.first());
    }

    /// Mean share of the first items that both lists have.
    pub fn overlap(&self) -> f64 {
        self.overlap / self.lists.max(1) as f64
    }

    /// Share of the lists with the same first item.
    pub fn same_first(&self) -> f64 {
        self.same_first as f64 / self.lists.max(1) as f64
    }
}

/// What of an answer is compared.
pub(super) fn compared(answer: &Answer) -> Vec<String> {
    answer.entries.iter().take(COMPARED).map(|entry| entry.0.clone()).collect()
}

/// A setting by its path, and its values as JSON with one model and the other; empty where
/// one has none.
pub type Difference = (String, String, String);

impl Engine {
    /// Compares two kept models: the settings that differ, and what `users` shoppers who
    /// were there last are told now. May read them from disk: for threads that may wait.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] where one is not kept,
    /// [`crate::domain::Error::Storage`] where it cannot be read.
    pub fn compare_models(
        &self,
        one: Generation,
        other: Generation,
        users: usize,
    ) -> Result<(Vec<Difference>, Comparison)> {
        let one = self.models().load(one)?;
        let other = self.models().load(other)?;
        let mut lists = Comparison::default();
        let now_ms = now_ms();
        for user_id in self.newest_users(users) {
            let request = RecommendRequest { limit: COMPARED, ..Default::default() };
            let told = |snapshot: &Arc<Snapshot>| {
                compared(&self.answer_to(snapshot, Some(user_id), &request, now_ms))
            };
            lists.note(&told(&one), &told(&other));
            if self.is_closing() {
                break;
            }
        }
        Ok((differences(&one.manifest.settings, &other.manifest.settings), lists))
    }

    /// The users whose newest event is newest, at most so many.
    fn newest_users(&self, most: usize) -> Vec<UserIdx> {
        let count = self.live().users.read().len() as UserIdx;
        let newest =
            |user: UserIdx| self.live().histories.of(user, |h| h.last().map(|e| e.time_ms));
        let mut seen: Vec<(i64, UserIdx)> =
            (0..count).filter_map(|user| Some((newest(user)?, user))).collect();
        seen.sort_unstable_by_key(|&(time_ms, user)| (std::cmp::Reverse(time_ms), user));
        seen.into_iter().take(most).map(|(_, user)| user).collect()
    }
}

/// The settings that differ, in the order of their paths.
fn differences(one: &Settings, other: &Settings) -> Vec<Difference> {
    let leaves = |settings: &Settings| {
        let mut leaves = BTreeMap::new();
        // By way of text, which says numbers as they were given.
        let text = serde_json::to_string(settings).unwrap_or_default();
        flatten("", &serde_json::from_str(&text).unwrap_or_default(), &mut leaves);
        leaves
    };
    let (one, mut other) = (leaves(one), leaves(other));
    let mut found: Vec<Difference> = one
        .into_iter()
        .map(|(path, value)| {
            let others = other.remove(&path).unwrap_or_default();
            (path, value, others)
        })
        .collect();
    found.extend(other.into_iter().map(|(path, value)| (path, String::new(), value)));
    found.retain(|(_, one, other)| one != other);
    found.sort();
    found
}

fn flatten(path: &str, value: &serde_json::Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, field, leaves);
            }
        }
        leaf => {
            leaves.insert(path.to_owned(), leaf.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compared_by_what_both_hold() {
        let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let mut lists = Comparison::default();
        lists.note(&list(&["a", "x", "b"]), &list(&["a", "b", "c", "d"]));
        lists.note(&list(&["d", "c", "b", "a"]), &list(&["a", "b", "c", "d"]));
        assert_eq!((lists.lists, lists.overlap(), lists.same_first()), (2, 0.75, 0.5));
        lists.note(&[], &[]);
        assert_eq!((lists.lists, lists.overlap()), (3, 2.5 / 3.0));
    }

    #[test]
    fn settings_that_differ_are_named() {
        let one = Settings::default();
        let mut other = one;
        other.item_cf.counts = 0.5;
        other.blend.ease = 0.25;
        let told = |path: &str, one: &str, other: &str| {
            (path.to_owned(), one.to_owned(), other.to_owned())
        };
        assert_eq!(
            differences(&one, &other),
            [told("blend.ease", "1.0", "0.25"), told("item_cf.counts", "0.0", "0.5")]
        );
    }
}
