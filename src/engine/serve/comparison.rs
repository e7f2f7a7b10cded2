//! How the lists and the settings of two models differ.

use std::collections::BTreeMap;

use super::request::Answer;
use crate::model::Settings;

/// Length of the lists that are compared.
pub(super) const COMPARED: usize = 10;

/// Lists compared so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Comparison {
    /// Number of lists.
    pub lists: u64,
    overlap: f64,
    same_first: u64,
}

impl Comparison {
    /// Adds two lists of the same user, best first.
    pub(super) fn note(&mut self, one: &[String], other: &[String]) {
        let both = one.iter().filter(|id| other.contains(id)).count();
        let longest = one.len().max(other.len());
        self.lists += 1;
        self.overlap += if longest == 0 { 1.0 } else { both as f64 / longest as f64 };
        self.same_first += u64::from(one.first() == other.first());
    }

    /// Mean share of items that both lists have, 0 to 1.
    pub fn overlap(&self) -> f64 {
        self.overlap / self.lists.max(1) as f64
    }

    /// Share of the lists with the same first item, 0 to 1.
    pub fn same_first(&self) -> f64 {
        self.same_first as f64 / self.lists.max(1) as f64
    }
}

/// The items of an answer that are compared.
pub(super) fn compared_ids(answer: &Answer) -> Vec<String> {
    answer.entries.iter().take(COMPARED).map(|entry| entry.item_id.clone()).collect()
}

/// A setting by its path, and its values as JSON with one model and the other; empty where
/// one has none.
pub type Difference = (String, String, String);

/// The settings that differ, in the order of their paths.
pub(super) fn differences(one: &Settings, other: &Settings) -> Vec<Difference> {
    let leaves = |settings: &Settings| {
        let mut leaves = BTreeMap::new();
        // Text keeps numbers as they were given; values would turn f32 into f64.
        let text = serde_json::to_string(settings).unwrap_or_default();
        flatten("", &serde_json::from_str(&text).unwrap_or_default(), &mut leaves);
        leaves
    };

    let one = leaves(one);
    let mut other = leaves(other);
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
    fn different_settings_are_named() {
        let one = Settings::default();
        let mut other = one;
        other.item_cf.weighting.counts = 0.5;
        other.blend.ease = 0.25;
        let difference = |path: &str, one: &str, other: &str| {
            (path.to_owned(), one.to_owned(), other.to_owned())
        };
        assert_eq!(
            differences(&one, &other),
            [difference("blend.ease", "1.0", "0.25"), difference("item_cf.counts", "0.0", "0.5")]
        );
    }
}
