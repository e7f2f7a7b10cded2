//! Splits a log into a training part and a test part.

use crate::import::time_format::TimeFormat;
use crate::import::timestamp;
use std::collections::HashMap;

use crate::domain::{HistoryEvent, UserIdx};

/// A split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holdout {
    /// The last basket of every user with at least three.
    LastBasket,
    /// The last event of every user with at least three.
    LastItem,
    /// Everything after a time, in milliseconds since 1970.
    After(i64),
}

impl std::str::FromStr for Holdout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "last-basket" => Ok(Holdout::LastBasket),
            "last-item" => Ok(Holdout::LastItem),
            _ => text
                .strip_prefix("after:")
                .and_then(|date| timestamp::parse(date, &TimeFormat::default()).ok())
                .map(Holdout::After)
                .ok_or_else(|| format!("{text:?} is none of last-basket, last-item, after:DATE")),
        }
    }
}

/// A log in two parts.
pub type Parts = (Vec<(UserIdx, HistoryEvent)>, Vec<(UserIdx, HistoryEvent)>);

/// Splits a log: the training part, and the test part.
pub fn cut(log: Vec<(UserIdx, HistoryEvent)>, holdout: Holdout) -> Parts {
    match holdout {
        Holdout::After(moment) => log.into_iter().partition(|(_, e)| e.time_ms <= moment),
        Holdout::LastBasket => {
            let last = last_groups(&log, HistoryEvent::moment);
            log.into_iter().partition(|(user, e)| last.get(user) != Some(&e.moment()))
        }
        Holdout::LastItem => {
            // Events have no id; their index in the log serves as one.
            let numbered = log.iter().enumerate();

            let keys: Vec<(UserIdx, (i64, usize))> =
                numbered.map(|(i, (user, e))| (*user, (e.time_ms, i))).collect();
            let mut counts: HashMap<UserIdx, (usize, (i64, usize))> = HashMap::new();
            for (user, key) in keys {
                let entry = counts.entry(user).or_insert((0, key));
                *entry = (entry.0 + 1, entry.1.max(key));
            }

            let mut train = Vec::new();
            let mut test = Vec::new();
            for (i, (user, event)) in log.into_iter().enumerate() {
                let held = counts.get(&user).is_some_and(|(n, key)| *n >= 3 && key.1 == i);
                if held { test.push((user, event)) } else { train.push((user, event)) }
            }
            (train, test)
        }
    }
}

/// The last group of every user with at least three; a group is as old as its first event.
fn last_groups(
    log: &[(UserIdx, HistoryEvent)],
    group: impl Fn(&HistoryEvent) -> (u32, i64),
) -> HashMap<UserIdx, (u32, i64)> {
    let mut first: HashMap<UserIdx, HashMap<(u32, i64), i64>> = HashMap::new();
    for (user, event) in log {
        let time = first.entry(*user).or_default().entry(group(event)).or_insert(event.time_ms);
        *time = (*time).min(event.time_ms);
    }

    first
        .into_iter()
        .filter(|(_, groups)| groups.len() >= 3)
        .filter_map(|(user, groups)| {
            let last = groups.into_iter().max_by_key(|&(group, time)| (time, group))?;
            Some((user, last.0))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventKind;

    fn log(rows: &[(u32, u32, u32, i64)]) -> Vec<(UserIdx, HistoryEvent)> {
        let event = |item, basket, time_ms| HistoryEvent {
            basket,
            ..HistoryEvent::new(EventKind::Purchase, item, time_ms)
        };
        rows.iter().map(|&(u, i, b, t)| (u, event(i, b, t))).collect()
    }

    fn held(rows: &[(u32, u32, u32, i64)], holdout: Holdout) -> Vec<u32> {
        let (train, test) = cut(log(rows), holdout);
        assert_eq!(train.len() + test.len(), rows.len());
        test.into_iter().map(|(_, e)| e.item).collect()
    }

    #[test]
    fn each_cut_holds_out_what_it_says() {
        let rows = [
            (0, 1, 1, 10),
            (0, 2, 2, 30),
            (0, 3, 3, 20),
            (0, 4, 2, 31),
            (1, 5, 4, 10),
            (1, 6, 5, 40),
        ];

        assert_eq!(held(&rows, Holdout::LastBasket), [2, 4]);
        assert_eq!(held(&rows, Holdout::LastItem), [4]);
        assert_eq!(held(&rows, Holdout::After(30)), [4, 6]);
        assert_eq!("after:1970-01-02".parse(), Ok(Holdout::After(86_400_000)));
        assert!("after:noon".parse::<Holdout>().is_err());
    }
}
