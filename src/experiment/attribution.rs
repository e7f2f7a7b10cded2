//! Joins what users do to the lists that led to it: by the id of the answer, or without one by user, item
//! and a window of time.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::units::SKEW_MS;
use crate::domain::{ItemIdx, UserIdx};
use crate::store::Exposure;

/// What users have done with an item of a list; each counts once.
pub const SEEN: u8 = 1;
/// See [`SEEN`].
pub const CLICKED: u8 = 2;
/// See [`SEEN`].
pub const CARTED: u8 = 4;

/// A list that was shown, while outcomes can be attributed to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShownList<K> {
    /// What its outcomes are counted by.
    pub key: K,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// The source of each item.
    pub sources: Box<[u8]>,
    /// Whose list each item came from, where two were interleaved; otherwise empty.
    pub teams: Box<[u8]>,
    id: u128,
    user: Option<UserIdx>,
    items: Box<[ItemIdx]>,
    /// What was done with each item.
    done: Box<[u8]>,
}

/// A place in a list that an outcome is attributed to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Touch {
    /// The list.
    list: u64,
    /// The item's position in it, from 0.
    pub position: usize,
    /// Its part where all lists of the window that showed the item share the outcome, by the discount of
    /// their positions, 1 / log2(position + 2). Parts sum to 1.
    pub share: f64,
}

/// What an outcome names.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The answer that led to it; none where the event names none.
    pub recommendation_id: Option<u128>,
    /// The user.
    pub user: UserIdx,
    /// The item.
    pub item: ItemIdx,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
}

/// The lists of the window.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attribution<K> {
    window_ms: i64,
    capacity: usize,
    lists: VecDeque<ShownList<K>>,
    /// The number of the first of `lists`, counted from the start.
    first: u64,
    by_id: HashMap<u128, u64, ahash::RandomState>,
    by_user: HashMap<UserIdx, VecDeque<u64>, ahash::RandomState>,
    /// Number of items of all lists.
    items: usize,
}

impl<K> Attribution<K> {
    /// Keeps lists for `window_ms`, at most `capacity` of them.
    pub fn new(window_ms: i64, capacity: usize) -> Self {
        let (by_id, by_user) = Default::default();
        Self { window_ms, capacity, lists: VecDeque::new(), first: 0, by_id, by_user, items: 0 }
    }

    /// Whether no list is kept.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Notes a list that was shown.
    pub fn note(&mut self, exposure: &Exposure<'_>, key: K) {
        let oldest_ms = exposure.time_ms - self.window_ms;
        while self.lists.len() >= self.capacity.max(1)
            || self.lists.front().is_some_and(|list| list.time_ms < oldest_ms)
        {
            self.forget_first();
        }

        let number = self.first + self.lists.len() as u64;
        self.by_id.insert(exposure.recommendation_id, number);
        if let Some(user) = exposure.user {
            self.by_user.entry(user).or_default().push_back(number);
        }
        self.items += exposure.items.len();
        self.lists.push_back(ShownList {
            key,
            time_ms: exposure.time_ms,
            sources: exposure.sources.as_slice().into(),
            teams: exposure.teams.as_slice().into(),
            id: exposure.recommendation_id,
            user: exposure.user,
            items: exposure.items.as_slice().into(),
            done: vec![0; exposure.items.len()].into(),
        });
    }

    fn forget_first(&mut self) {
        let Some(list) = self.lists.pop_front() else { return };
        self.items -= list.items.len();
        self.by_id.remove(&list.id);
        if let Some(user) = list.user
            && let Some(of_user) = self.by_user.get_mut(&user)
        {
            // A user's numbers ascend.
            of_user.pop_front();
            if of_user.is_empty() {
                self.by_user.remove(&user);
            }
        }
        self.first += 1;
    }

    /// The places that an outcome is attributed to, the last touch first; empty for none. An outcome that
    /// names an answer belongs to it alone.
    pub fn touches(&self, outcome: &Outcome) -> Vec<Touch> {
        if let Some(id) = outcome.recommendation_id {
            let list = self.by_id.get(&id).copied();
            // Another user's answer is not theirs to claim.
            let is_own = |list: &u64| {
                let shown_to = self.list_of(*list).and_then(|list| list.user);
                shown_to.is_none_or(|user| user == outcome.user)
            };
            let touch = list.filter(is_own).and_then(|list| self.touch(list, outcome.item));
            return touch.into_iter().collect();
        }

        let Some(of_user) = self.by_user.get(&outcome.user) else { return Vec::new() };
        let within = |list: &u64| {
            let shown_ms = self.list_of(*list).map_or(i64::MIN, |list| list.time_ms);
            (-SKEW_MS..=self.window_ms).contains(&outcome.time_ms.saturating_sub(shown_ms))
        };
        let lists = of_user.iter().rev().filter(|list| within(list));
        let mut touches: Vec<Touch> =
            lists.filter_map(|&list| self.touch(list, outcome.item)).collect();
        let all: f64 = touches.iter().map(|touch| discount(touch.position)).sum();
        touches.iter_mut().for_each(|touch| touch.share = discount(touch.position) / all);
        touches
    }

    fn touch(&self, list: u64, item: ItemIdx) -> Option<Touch> {
        let position = self.list_of(list)?.items.iter().position(|&shown| shown == item)?;
        Some(Touch { list, position, share: 1.0 })
    }

    fn list_of(&self, number: u64) -> Option<&ShownList<K>> {
        self.lists.get(number.checked_sub(self.first)? as usize)
    }

    /// The list of a touch that was just found.
    pub fn list(&self, touch: &Touch) -> Option<&ShownList<K>> {
        self.list_of(touch.list)
    }

    /// Notes that something was done with the item of a touch; whether it is the first time.
    pub fn is_first(&mut self, touch: &Touch, what: u8) -> bool {
        let Some(at) = touch.list.checked_sub(self.first) else { return false };
        let Some(list) = self.lists.get_mut(at as usize) else { return false };
        let done = &mut list.done[touch.position];
        let first = *done & what == 0;
        *done |= what;
        first
    }

    /// Forgets what was shown to a user.
    pub fn erase(&mut self, user: UserIdx) {
        for number in self.by_user.remove(&user).into_iter().flatten() {
            let at = (number - self.first) as usize;
            if let Some(list) = self.lists.get_mut(at) {
                list.user = None;
                self.items -= list.items.len();
                list.items = Box::default();
                self.by_id.remove(&list.id);
            }
        }
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let list = size_of::<ShownList<K>>() + 2 * size_of::<(u128, u64)>() + 16;
        self.lists.len() * list + self.items * 7
    }
}

/// The discount of a position, as in DCG.
fn discount(position: usize) -> f64 {
    1.0 / ((position + 2) as f64).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(id: u128, user: UserIdx, time_ms: i64, items: &[ItemIdx]) -> Exposure<'static> {
        Exposure {
            user: Some(user),
            recommendation_id: id,
            time_ms,
            generation: 1,
            placement: "home".into(),
            variant: "".into(),
            items: items.to_vec(),
            sources: vec![1; items.len()],
            propensities: Vec::new(),
            session: 0,
            teams: Vec::new(),
        }
    }

    fn outcome(recommendation_id: Option<u128>, item: ItemIdx, time_ms: i64) -> Outcome {
        Outcome { recommendation_id, user: 7, item, time_ms }
    }

    #[test]
    fn the_last_list_that_showed_the_item_is_credited_first() {
        let mut lists = Attribution::new(1_000, 10);
        lists.note(&exposure(1, 7, 100, &[5, 6]), "first");
        lists.note(&exposure(2, 7, 200, &[6, 5]), "second");
        lists.note(&exposure(3, 8, 300, &[5]), "another user's");
        let key = |touch: &Touch| lists.list(touch).unwrap().key;

        let touches = lists.touches(&outcome(None, 5, 400));
        let found: Vec<_> = touches.iter().map(|touch| (key(touch), touch.position)).collect();
        assert_eq!(found, [("second", 1), ("first", 0)]);
        let weights = (1.0 / 3f64.log2(), 1.0);
        assert!((touches[0].share - weights.0 / (weights.0 + weights.1)).abs() < 1e-12);
        assert!((touches[0].share + touches[1].share - 1.0).abs() < 1e-12);

        // An answer that is named is credited alone, and never another user's.
        let named = lists.touches(&outcome(Some(1), 5, 9_999));
        assert_eq!(named.iter().map(key).collect::<Vec<_>>(), ["first"]);
        assert!(lists.touches(&outcome(Some(3), 5, 310)).is_empty());
        for nothing in [outcome(Some(9), 5, 400), outcome(None, 9, 400), outcome(None, 5, 1_300)] {
            assert!(lists.touches(&nothing).is_empty() || nothing.time_ms == 1_300);
        }
        let before = outcome(None, 5, 50 - SKEW_MS);
        assert!(lists.touches(&before).is_empty(), "before it was shown");
    }

    #[test]
    fn a_storm_of_clicks_counts_once() {
        let mut lists = Attribution::new(1_000, 10);
        lists.note(&exposure(1, 7, 100, &[5, 6]), ());
        let touch = lists.touches(&outcome(Some(1), 5, 200))[0];
        assert!(lists.is_first(&touch, CLICKED) && !lists.is_first(&touch, CLICKED));
        assert!(lists.is_first(&touch, CARTED));
    }

    #[test]
    fn old_lists_leave_and_erased_users_are_forgotten() {
        let mut lists = Attribution::new(1_000, 2);
        lists.note(&exposure(1, 7, 100, &[5]), ());
        lists.note(&exposure(2, 7, 200, &[5]), ());
        lists.note(&exposure(3, 7, 300, &[5]), ());
        assert_eq!(lists.touches(&outcome(None, 5, 310)).len(), 2, "only two are kept");
        lists.note(&exposure(4, 8, 1_250, &[5]), ());
        assert_eq!(lists.touches(&outcome(None, 5, 1_260)).len(), 1, "one is too old");
        lists.erase(7);
        assert!(lists.touches(&outcome(None, 5, 1_260)).is_empty());
        assert!(lists.touches(&outcome(Some(3), 5, 1_260)).is_empty());
        lists.note(&exposure(5, 7, 9_000, &[5]), ());
        assert_eq!(lists.touches(&outcome(None, 5, 9_001)).len(), 1);
    }
}
