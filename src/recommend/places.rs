//! The places of a list that pins and quotas hold.

use std::collections::BTreeMap;

use super::list::{Moved, Recommended};
use crate::domain::ItemIdx;
use crate::live::ItemMask;
use crate::model::Source;
use crate::rules::active::{Pin, Quota};

/// A list with places that rules hold. The items at all others stay in their order, and flow around
/// them.
pub(super) struct Places<'c> {
    /// The items that no rule holds, in their order.
    free: Vec<Recommended>,
    /// The places that rules hold, counted from 0.
    held: BTreeMap<usize, Held>,
    /// What the list was chosen from, best first.
    candidates: &'c [Recommended],
    limit: usize,
}

/// An item that a rule holds at a place.
#[derive(Clone, Copy)]
struct Held {
    entry: Recommended,
    rule: usize,
    /// Whether the rule put it there.
    moved: bool,
}

impl<'c> Places<'c> {
    /// The places of a list that was chosen from `candidates` and may grow up to `limit`.
    pub(super) fn new(items: &[Recommended], candidates: &'c [Recommended], limit: usize) -> Self {
        Self { free: items.to_vec(), held: BTreeMap::new(), candidates, limit }
    }

    fn holds(&self, item: ItemIdx) -> bool {
        self.held.values().any(|held| held.entry.item == item)
    }

    /// Takes an item out of those that no rule holds.
    fn take(&mut self, item: ItemIdx) -> Option<Recommended> {
        let at = self.free.iter().position(|free| free.item == item)?;
        Some(self.free.remove(at))
    }

    /// The list as it is now, with what rules hold of it.
    fn laid_out(&self) -> Vec<(Recommended, Option<Held>)> {
        let length = self.limit.min(self.free.len() + self.held.len());
        let mut free = self.free.iter().take(length - self.held.len());
        let mut held = self.held.iter().peekable();
        let mut list = Vec::with_capacity(length);
        while list.len() < length {
            let is_held = held.peek().is_some_and(|(place, _)| **place <= list.len());
            let next = if is_held { None } else { free.next() };
            match (next, is_held) {
                (Some(free), _) => list.push((*free, None)),
                // A list that is too short for a place ends with its item.
                (None, _) => match held.next() {
                    Some((_, held)) => list.push((held.entry, Some(*held))),
                    None => break,
                },
            }
        }
        list
    }

    /// Puts the items of a pin at its place and those that follow it: those that are in the list, or
    /// may be offered.
    pub(super) fn pin(&mut self, pin: &Pin<'_>, mask: &ItemMask) {
        let mut at = pin.place;
        for &item in pin.items {
            while self.held.contains_key(&at) {
                at += 1;
            }
            if at >= self.limit {
                return;
            }
            if self.holds(item) {
                continue;
            }

            // What is listed, and a candidate that was not chosen, may be off the mask.
            let new = Recommended { item, score: 0.0, source: Source::Catalog };
            let candidate = self.candidates.iter().find(|candidate| candidate.item == item);
            let entry = self.take(item).or(candidate.copied());
            if let Some(entry) = entry.or_else(|| mask.allows(item).then_some(new)) {
                self.held.insert(at, Held { entry, rule: pin.rule, moved: true });
            }
        }
    }

    /// Gives the last of a quota's places that no rule holds to its best candidates; returns whether
    /// the quota is met.
    pub(super) fn fill(&mut self, quota: &Quota<'_>) -> bool {
        let list = self.laid_out();
        let of = quota.of.min(list.len());
        let is_of = |listed: &Recommended| quota.items.contains(listed.item);
        let theirs = list[..of].iter().enumerate().filter(|(_, (listed, _))| is_of(listed));
        let theirs: Vec<(usize, Recommended)> =
            theirs.map(|(at, (listed, _))| (at, *listed)).collect();
        // A list that ends before their places has a part of them.
        let min = quota.min * of / quota.of.max(1);
        let missing = min.saturating_sub(theirs.len());
        if missing == 0 {
            return true;
        }

        // What it has keeps its place.
        for (at, listed) in theirs {
            if let Some(entry) = self.take(listed.item) {
                self.held.insert(at, Held { entry, rule: quota.rule, moved: false });
            }
        }
        let others = self.candidates.iter();
        let others = others.filter(|other| is_of(other) && !self.holds(other.item));
        let others: Vec<Recommended> = others.take(missing).copied().collect();
        let last = (0..of).rev().filter(|at| !self.held.contains_key(at)).take(others.len());
        let mut last: Vec<usize> = last.collect();
        last.reverse();

        // The best of them comes first.
        for (place, other) in last.iter().zip(&others) {
            let entry = self.take(other.item).unwrap_or(*other);
            self.held.insert(*place, Held { entry, rule: quota.rule, moved: true });
        }
        last.len() == missing
    }

    /// The list, with scores that never rise down it: an item at a held place is scored no lower than
    /// the one after it, and no higher than the free one before it. Notes what rules moved.
    pub(super) fn into_list(self, moved: &mut Vec<Moved>) -> Vec<Recommended> {
        let mut list = self.laid_out();
        let mut least = f32::NEG_INFINITY;
        for at in (0..list.len()).rev() {
            if let Some(held) = list[at].1 {
                let before = list[..at].iter().rev().find(|(_, held)| held.is_none());
                let most = before.map_or(f32::INFINITY, |(free, _)| free.score);
                let item = &mut list[at].0;
                let own = item.score;
                item.score = own.max(least).min(most);

                let part = item.score - own;
                if held.moved || part != 0.0 {
                    moved.push(Moved { item: item.item, rule: held.rule, part });
                }
            }
            least = list[at].0.score;
        }
        list.into_iter().map(|(item, _)| item).collect()
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
        let mut places = Places::new(&list(items), &[], items.len());
        for &(rule, place, items) in pins {
            places.pin(&Pin { rule, place, items }, &mask());
        }
        let mut moved = Vec::new();
        let list = places.into_list(&mut moved);
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
        // Places at the end stay, whatever comes before them.
        assert_eq!(pinned(&[1, 2, 3, 4], &[(0, 3, &[9]), (1, 0, &[8])]).0, [8, 1, 2, 9]);
        let late: &[ItemIdx] = &[98, 99];
        let both = pinned(&[1, 2, 3, 4, 5, 6], &[(0, 4, late), (1, 0, &[50, 51])]).0;
        assert_eq!(both, [50, 51, 1, 2, 98, 99]);
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
        let list = list(items);
        let candidates = [list.clone(), self::list(&[20, 21, 22, 23])].concat();
        let mut places = Places::new(&list, &candidates, items.len());
        places.pin(&Pin { rule: 0, place: 0, items: pins }, &mask());
        for (rule, (of_quota, min, of)) in quotas.iter().enumerate() {
            let set = ItemSet::new(of_quota.iter().copied().collect::<RoaringBitmap>(), 10_000);
            let quota = Quota { rule: rule + 1, items: &set, min: *min, of: *of };
            places.fill(&quota);
        }
        let list = places.into_list(&mut Vec::new());
        assert!(list.is_sorted_by(|a, b| a.score >= b.score), "{list:?}");
        list.iter().map(|r| r.item).collect()
    }

    #[test]
    fn quotas_exchange_the_last_of_their_places() {
        assert_eq!(with_quotas(&[1, 2, 3, 4], &[], &[(&[20, 21], 1, 2)]), [1, 20, 2, 3]);
        assert_eq!(with_quotas(&[1, 2, 3, 4], &[], &[(&[4], 1, 2)]), [1, 4, 2, 3]);
        assert_eq!(with_quotas(&[1, 2, 3, 4], &[], &[(&[1, 20], 2, 2)]), [1, 20, 2, 3]);
        assert_eq!(with_quotas(&[1, 2, 3, 4], &[], &[(&[2, 20], 2, 2)]), [20, 2, 1, 3]);
        assert_eq!(with_quotas(&[1, 2], &[], &[(&[20, 21, 22], 2, 2)]), [20, 21]);
        // A list that ends before their places has a part of them.
        assert_eq!(with_quotas(&[1, 2], &[], &[(&[20, 21, 22], 5, 10)]), [1, 20]);
        assert_eq!(with_quotas(&[1], &[], &[(&[20], 2, 10)]), [1]);
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
