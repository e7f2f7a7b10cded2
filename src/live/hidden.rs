//! What users do not want to see. In force until they take the item after all.

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use crate::domain::{EventKind, HideScope, ItemIdx, UserIdx};

/// Maximum number of hidden items of a user; the oldest leave.
const KEPT: usize = 500;

/// An item that a user hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// The item.
    pub item: ItemIdx,
    /// What is hidden with it.
    pub scope: HideScope,
}

/// What all users hide.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct HiddenItems(AHashMap<UserIdx, Vec<Hidden>>);

impl HiddenItems {
    /// Notes an event: one that hides, or one by which a user takes an item after all.
    pub fn note(&mut self, user: UserIdx, item: ItemIdx, kind: EventKind, scope: HideScope) {
        match kind {
            EventKind::Hide => {
                let hidden = self.0.entry(user).or_default();
                hidden.retain(|hidden| hidden.item != item);
                if hidden.len() == KEPT {
                    hidden.remove(0);
                }
                hidden.push(Hidden { item, scope });
            }
            EventKind::AddToCart | EventKind::Favorite | EventKind::Purchase => {
                let Some(hidden) = self.0.get_mut(&user) else { return };
                hidden.retain(|hidden| hidden.item != item);
                if hidden.is_empty() {
                    self.0.remove(&user);
                }
            }
            _ => {}
        }
    }

    /// Whether an event may change what its user hides.
    pub fn concerns(&self, user: UserIdx, kind: EventKind) -> bool {
        kind == EventKind::Hide || self.0.contains_key(&user)
    }

    /// What a user hides.
    pub fn of(&self, user: UserIdx) -> &[Hidden] {
        self.0.get(&user).map_or(&[], Vec::as_slice)
    }

    /// Adds what an alias hides to what a user hides.
    pub fn absorb(&mut self, user: UserIdx, alias: UserIdx) {
        for Hidden { item, scope } in self.0.remove(&alias).unwrap_or_default() {
            self.note(user, item, EventKind::Hide, scope);
        }
    }

    /// Forgets a user.
    pub fn erase(&mut self, user: UserIdx) {
        self.0.remove(&user);
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let each = size_of::<Hidden>();
        self.0.values().map(|hidden| 48 + hidden.capacity() * each).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_after_all_shows_again() {
        let mut hidden = HiddenItems::default();
        hidden.note(1, 7, EventKind::Hide, HideScope::Group);
        hidden.note(1, 8, EventKind::Hide, HideScope::Item);
        hidden.note(1, 8, EventKind::View, HideScope::Item);
        assert_eq!(hidden.of(1).len(), 2);
        hidden.note(1, 7, EventKind::Purchase, HideScope::Item);
        assert_eq!(hidden.of(1), [Hidden { item: 8, scope: HideScope::Item }]);
        hidden.erase(1);
        assert!(hidden.of(1).is_empty() && !hidden.concerns(1, EventKind::Purchase));

        (0..2_000).for_each(|item| hidden.note(2, item, EventKind::Hide, HideScope::Item));
        assert_eq!((hidden.of(2).len(), hidden.of(2)[0].item), (KEPT, 1_500));
    }
}
