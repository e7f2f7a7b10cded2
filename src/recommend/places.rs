//! The places of a list that pins and quotas hold.

use super::list::{Moved, Recommended};
use crate::domain::ItemIdx;
use crate::live::ItemMask;
use crate::model::Source;
use crate::rules::active::{Pin, Quota};

/// A list with places that rules hold. The items at all others stay in their order.
pub(super) struct Places<'l> {
    items: &'l mut Vec<Recommended>,
    /// What the list was chosen from, best first.
    candidates: &'l [Recommended],
    limit: usize,
    held: Vec<Held>,
}

/// A place that a rule holds.
struct Held {
    place: usize,
    rule: usize,
    /// Whether the rule put the item there.
    moved: bool,
}

impl<'l> Places<'l> {
    /// The places of a list that was chosen from `candidates` and may grow up to `limit`.
    pub(super) fn new(
        items: &'l mut Vec<Recommended>,
        candidates: &'l [Recommended],
        limit: usize,
    ) -> Self {
        Self { items, candidates, limit, held: Vec::new() }
    }

    fn is_held(&self, place: usize) -> bool {
        self.held.iter().any(|held| held.place == place)
    }

    fn place_of(&self, item: ItemIdx) -> Option<usize> {
        self.items.iter().position(|listed| listed.item == item)
    }

    /// Puts the items of a pin at its place and those that follow it: those that are in the list, or
    /// may be offered.
    pub(super) fn pin(&mut self, pin: &Pin<'_>, mask: &ItemMask) {
        let mut at = pin.place;
        for &item in pin.items {
            while self.is_held(at) {
                at += 1;
            }
            let listed = self.place_of(item);
            let is_held = listed.is_some_and(|place| self.is_held(place));
            // What is listed, and a candidate that was not chosen, may be off the mask.
            let mut known = self.items.iter().chain(self.candidates);
            let known = known.find(|known| known.item == item);
            let new = Recommended { item, score: 0.0, source: Source::Catalog };
            let entry = known.copied().or_else(|| mask.allows(item).then_some(new));
            let (Some(entry), false) = (entry, is_held || at >= self.limit) else { continue };

            let entry = match listed {
                Some(place) => self.take(place),
                None if self.make_room() => entry,
                None => return,
            };

            // A list that is too short ends with it.
            let place = at.min(self.items.len());
            self.insert(place, entry);
            self.held.push(Held { place, rule: pin.rule, moved: true });
        }
    }

    /// Exchanges the last items of a quota's places that no rule holds for its best candidates;
    /// returns whether the quota is met.
    pub(super) fn fill(&mut self, quota: &Quota<'_>) -> bool {
        let of = quota.of.min(self.items.len());
        let rule = quota.rule;
        let is_of = |listed: &Recommended| quota.items.contains(listed.item);
        let theirs: Vec<usize> = (0..of).filter(|&at| is_of(&self.items[at])).collect();
        let mut missing = quota.min.min(of).saturating_sub(theirs.len());
        if missing == 0 {
            return true;
        }
        let free = theirs.into_iter().filter(|&at| !self.is_held(at));
        let kept: Vec<Held> = free.map(|place| Held { place, rule, moved: false }).collect();
        self.held.extend(kept);

        for candidate in self.candidates.iter().filter(|candidate| is_of(candidate)) {
            let listed = self.place_of(candidate.item);
            if listed.is_some_and(|at| at < of || self.is_held(at)) {
                continue;
            }
            let Some(place) = (0..of).rev().find(|&at| !self.is_held(at)) else { break };
            let entry = match listed {
                Some(later) => self.take(later),
                None => *candidate,
            };
            let replaced = std::mem::replace(&mut self.items[place], entry);
            self.held.push(Held { place, rule, moved: true });
            if listed.is_some() || self.make_room_after(of) {
                self.insert(of, replaced);
            }
            missing -= 1;
            if missing == 0 {
                return true;
            }
        }
        false
    }

    /// Takes the last item that no rule holds out of a full list; false where all are held.
    fn make_room(&mut self) -> bool {
        if self.items.len() < self.limit {
            return true;
        }
        self.make_room_after(0)
    }

    /// The same for a place from `first` on, whether the list is full or not.
    fn make_room_after(&mut self, first: usize) -> bool {
        let last = (first..self.items.len()).rev().find(|&at| !self.is_held(at));
        last.map(|last| self.take(last)).is_some()
    }

    /// Takes an item out; those after it move up, past the held ones.
    fn take(&mut self, place: usize) -> Recommended {
        let taken = self.items[place];
        let free: Vec<usize> = (place..self.items.len()).filter(|&at| !self.is_held(at)).collect();
        for pair in free.windows(2) {
            self.items[pair[0]] = self.items[pair[1]];
        }
        let last = free.last().copied().unwrap_or(place);
        self.remove(last);
        taken
    }

    /// Removes the item at a free place that no free one follows; held ones after it move up.
    fn remove(&mut self, place: usize) {
        self.items.remove(place);
        self.held.iter_mut().filter(|held| held.place > place).for_each(|held| held.place -= 1);
    }

    /// Puts an item at the first free place from `place` on; those from there on move down, past the
    /// held ones.
    fn insert(&mut self, place: usize, entry: Recommended) {
        self.items.push(entry);
        let free: Vec<usize> = (place..self.items.len()).filter(|&at| !self.is_held(at)).collect();
        for pair in free.windows(2).rev() {
            self.items[pair[1]] = self.items[pair[0]];
        }
        if let Some(&first) = free.first() {
            self.items[first] = entry;
        }
    }

    /// Makes scores fall down the list: an item at a held place is scored no lower than the one after
    /// it, and no higher than the free one before it. Notes what rules moved.
    pub(super) fn level(self, moved: &mut Vec<Moved>) {
        let mut least = f32::NEG_INFINITY;
        for at in (0..self.items.len()).rev() {
            if let Some(held) = self.held.iter().find(|held| held.place == at) {
                let before = (0..at).rev().find(|&before| !self.is_held(before));
                let most = before.map_or(f32::INFINITY, |before| self.items[before].score);
                let item = &mut self.items[at];
                let own = item.score;
                item.score = own.max(least).min(most);
                let part = item.score - own;
                if held.moved || part != 0.0 {
                    moved.push(Moved { item: item.item, rule: held.rule, part });
                }
            }
            least = self.items[at].score;
        }
    }
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;

    use super::*;
    use crate::rules::ItemSet;

    fn list(items: &[ItemIdx]) -> Vec<Recommended> {
        let entry = |(at, &item): (usize, &ItemIdx)| Recommended {
            item,
            score: 10.0 - at as f32,
            source: Source::ItemCf,
        };
        items.iter().enumerate().map(entry).collect()
    }

    fn mask() -> ItemMask {
        let mut mask = ItemMask::default();
        mask.allow_first(100);
        mask.forbid(66);
        mask
    }

    /// The items after pins of (rule, place counted from 0, items), and the moves.
    fn pinned(
        items: &[ItemIdx],
        pins: &[(usize, usize, &[ItemIdx])],
    ) -> (Vec<ItemIdx>, Vec<Moved>) {
        let mut list = list(items);
        let mut places = Places::new(&mut list, &[], items.len());
        for &(rule, place, items) in pins {
            places.pin(&Pin { rule, place, items }, &mask());
        }
        let mut moved = Vec::new();
        places.level(&mut moved);
        assert!(list.is_sorted_by(|a, b| a.score >= b.score), "{list:?}");
        (list.iter().map(|r| r.item).collect(), moved)
    }

    #[test]
    fn pins_take_their_places_and_the_rest_keeps_its_order() {
        assert_eq!(pinned(&[1, 2, 3, 4], &[(0, 0, &[9])]).0, [9, 1, 2, 3]);
        assert_eq!(pinned(&[1, 2, 3, 4], &[(0, 0, &[3])]).0, [3, 1, 2, 4]);
        assert_eq!(pinned(&[1, 2, 3, 4], &[(0, 3, &[1])]).0, [2, 3, 4, 1]);
        assert_eq!(pinned(&[1, 2, 3, 4], &[(0, 1, &[9, 4])]).0, [1, 9, 4, 2]);
        // Two want one place: the second gets the next.
        assert_eq!(pinned(&[1, 2, 3, 4], &[(0, 0, &[9]), (1, 0, &[8])]).0, [9, 8, 1, 2]);
        // What is held stays, whatever comes before it.
        assert_eq!(pinned(&[1, 2, 3, 4], &[(0, 2, &[9]), (1, 0, &[8])]).0, [8, 1, 9, 2]);
        // A popular item that fills the list is off the mask, and moves all the same.
        assert_eq!(pinned(&[1, 2, 66], &[(0, 0, &[66])]).0, [66, 1, 2]);
        // One that may not be shown, and one beyond the list, are not.
        assert_eq!(pinned(&[1, 2], &[(0, 0, &[66]), (1, 7, &[9])]).0, [1, 2]);
        assert_eq!(pinned(&[1, 2], &[(0, 0, &[7, 8, 9])]).0, [7, 8]);
        assert_eq!(pinned(&[1, 2, 3], &[(0, 0, &[7]), (1, 1, &[7])]).0, [7, 1, 2], "once");

        let (_, moved) = pinned(&[1, 2, 3], &[(5, 0, &[3])]);
        assert_eq!(moved, [Moved { item: 3, rule: 5, part: 2.0 }], "from 8 to 10");
    }

    fn with_quotas(
        items: &[ItemIdx],
        pins: &[ItemIdx],
        quotas: &[(&[ItemIdx], usize, usize)],
    ) -> Vec<ItemIdx> {
        let mut list = list(items);
        let candidates = [list.clone(), self::list(&[20, 21, 22, 23])].concat();
        let mut places = Places::new(&mut list, &candidates, items.len());
        places.pin(&Pin { rule: 0, place: 0, items: pins }, &mask());
        for (rule, (of_quota, min, of)) in quotas.iter().enumerate() {
            let set = ItemSet::new(of_quota.iter().copied().collect::<RoaringBitmap>(), 10_000);
            let quota = Quota { rule: rule + 1, items: &set, min: *min, of: *of };
            places.fill(&quota);
        }
        places.level(&mut Vec::new());
        assert!(list.is_sorted_by(|a, b| a.score >= b.score), "{list:?}");
        list.iter().map(|r| r.item).collect()
    }

    #[test]
    fn quotas_exchange_the_last_of_their_places() {
        assert_eq!(with_quotas(&[1, 2, 3, 4], &[], &[(&[20, 21], 1, 2)]), [1, 20, 2, 3]);
        assert_eq!(with_quotas(&[1, 2, 3, 4], &[], &[(&[4], 1, 2)]), [1, 4, 2, 3]);
        assert_eq!(with_quotas(&[1, 2, 3, 4], &[], &[(&[1, 20], 2, 2)]), [1, 20, 2, 3]);
        assert_eq!(with_quotas(&[1, 2, 3, 4], &[], &[(&[2, 20], 2, 2)]), [20, 2, 1, 3]);
        assert_eq!(with_quotas(&[1, 2], &[], &[(&[20, 21, 22], 2, 2)]), [21, 20]);
        // A pin stays, and what one quota holds no other takes.
        assert_eq!(with_quotas(&[1, 2, 3], &[2], &[(&[20, 21], 2, 2)]), [2, 20, 1]);
        assert_eq!(with_quotas(&[1, 2, 3], &[], &[(&[20], 1, 2), (&[21, 22], 2, 2)]), [21, 20, 1]);
        assert_eq!(
            with_quotas(&[1, 2, 3], &[], &[(&[50], 1, 2)]),
            [1, 2, 3],
            "none is a candidate"
        );
    }
}
