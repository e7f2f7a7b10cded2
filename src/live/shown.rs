//! Items that were shown to users again and again: impressions since a user last turned to an item.

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use crate::domain::{EventKind, ItemIdx, UserIdx};

/// Maximum number of items that are counted for a user; the one not shown for longest leaves.
const KEPT: usize = 64;

/// How often an item was shown to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The item.
    pub item: ItemIdx,
    /// Impressions since the user last viewed, clicked or took it.
    pub times: u32,
}

/// How often items were shown to users; empty unless it is asked to count.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Impressions {
    counts: bool,
    by_user: AHashMap<UserIdx, Vec<Shown>>,
}

impl Impressions {
    /// Counts from now on.
    pub fn count(&mut self) {
        self.counts = true;
    }

    /// Whether an event of this kind may change what is counted.
    pub fn concerns(&self, user: UserIdx, kind: EventKind) -> bool {
        self.counts && (kind == EventKind::Impression || self.by_user.contains_key(&user))
    }

    /// Notes an event.
    pub fn note(&mut self, user: UserIdx, item: ItemIdx, kind: EventKind) {
        if kind != EventKind::Impression {
            if let Some(shown) = self.by_user.get_mut(&user) {
                shown.retain(|shown| shown.item != item);
                if shown.is_empty() {
                    self.by_user.remove(&user);
                }
            }
            return;
        }

        let all = self.by_user.entry(user).or_default();
        let before = all.iter().position(|shown| shown.item == item).map(|at| all.remove(at));
        if all.len() == KEPT {
            all.remove(0);
        }
        let times = before.map_or(0, |shown| shown.times).saturating_add(1);
        all.push(Shown { item, times });
    }

    /// What was shown to a user, the newest last.
    pub fn of(&self, user: UserIdx) -> &[Shown] {
        self.by_user.get(&user).map_or(&[], Vec::as_slice)
    }

    /// Adds what was shown to an alias to what was shown to a user.
    pub fn absorb(&mut self, user: UserIdx, alias: UserIdx) {
        let Some(of_alias) = self.by_user.remove(&alias) else { return };
        let all = self.by_user.entry(user).or_default();
        for shown in of_alias {
            match all.iter_mut().find(|own| own.item == shown.item) {
                Some(own) => own.times = own.times.saturating_add(shown.times),
                None => all.push(shown),
            }
        }
        let excess = all.len().saturating_sub(KEPT);
        all.drain(..excess);
    }

    /// Forgets a user.
    pub fn erase(&mut self, user: UserIdx) {
        self.by_user.remove(&user);
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let each = size_of::<Shown>();
        self.by_user.values().map(|shown| 48 + shown.capacity() * each).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impressions_count_until_the_user_turns_to_the_item() {
        let mut impressions = Impressions::default();
        assert!(!impressions.concerns(1, EventKind::Impression), "not asked to count");
        impressions.count();
        (0..3).for_each(|_| impressions.note(1, 7, EventKind::Impression));
        impressions.note(1, 8, EventKind::Impression);
        assert_eq!(impressions.of(1), [Shown { item: 7, times: 3 }, Shown { item: 8, times: 1 }]);
        impressions.note(1, 7, EventKind::Click);
        assert_eq!(impressions.of(1), [Shown { item: 8, times: 1 }]);
        impressions.note(1, 8, EventKind::Purchase);
        assert!(!impressions.concerns(1, EventKind::View));

        (0..100).for_each(|item| impressions.note(2, item, EventKind::Impression));
        assert_eq!((impressions.of(2).len(), impressions.of(2)[0].item), (KEPT, 36));
        impressions.erase(2);
        assert_eq!(impressions.bytes(), 0);
    }
}
