//! Room for new items: after the first page, a share of a list's places goes to rare items that
//! content proposes, whatever they score. Nothing is known of who takes them, so that behaviour would
//! never show them; and what is never shown stays unknown.

use ahash::{AHashMap, AHashSet};

use super::list::Recommended;
use crate::domain::ItemIdx;
use crate::model::{Snapshot, Source};
use crate::sources::Query;

/// Places before the first that is given away, in a list with its earlier pages.
pub const FIRST_PAGE: usize = 10;

/// Which places are given away.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Their share of the places after the first page, 0 to 1.
    pub share: f32,
    /// Items that earlier pages of the list showed.
    pub shown_before: usize,
}

impl Room {
    /// The places of a query's list.
    pub(super) fn in_list(snapshot: &Snapshot, query: &Query<'_>) -> Self {
        let share = query.settings(snapshot).content.room;
        Self { share, shown_before: query.shelf.shown_before }
    }

    /// The number of places that a list of a length has.
    pub fn of(&self, length: usize) -> usize {
        let given = |places: usize| {
            (places.saturating_sub(FIRST_PAGE) as f32 * self.share.max(0.0)) as usize
        };
        given(self.shown_before + length) - given(self.shown_before)
    }

    /// Whether the place, from 0, is given away.
    fn holds(&self, place: usize) -> bool {
        self.of(place + 1) > self.of(place)
    }

    /// Gives the places in a list, best first, to those of `rare`, best first, that do not stand above
    /// already and that `admits` takes; each has the score of the item above it. What makes room moves
    /// down, and what then is beyond the list's length falls out.
    pub fn give(
        &self,
        list: &mut Vec<Recommended>,
        rare: impl Iterator<Item = ItemIdx>,
        mut admits: impl FnMut(ItemIdx) -> bool,
    ) -> Vec<Roomed> {
        let mut roomed = Vec::new();
        let length = list.len();
        if self.of(length) == 0 {
            return roomed;
        }

        let mut score = list.first().map_or(0.0, |first| first.score);
        let mut listed: AHashMap<ItemIdx, Recommended> =
            list.iter().map(|listed| (listed.item, *listed)).collect();
        let mut above: AHashSet<ItemIdx> = AHashSet::with_capacity(length);
        let mut others = std::mem::take(list).into_iter();
        let mut rare = rare.fuse();
        while list.len() < length {
            let is_next = |item: &ItemIdx| {
                !above.contains(item) && (listed.contains_key(item) || admits(*item))
            };
            let held = self.holds(list.len()).then(|| rare.find(is_next)).flatten();
            let next = match held {
                Some(item) => {
                    let own = listed.remove(&item);
                    roomed.push(Roomed { item, added: own.map(|own| score - own.score) });
                    let new = Recommended { item, score, source: Source::Content };
                    Recommended { score, ..own.unwrap_or(new) }
                }
                // What moved up stands above.
                None => match others.find(|next| !above.contains(&next.item)) {
                    Some(next) => next,
                    None => break,
                },
            };
            score = next.score;
            above.insert(next.item);
            list.push(next);
        }
        roomed
    }
}

/// An item at a place that is for rare ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roomed {
    /// The item.
    pub item: ItemIdx,
    /// What the place adds to its score, where it was in the list.
    pub added: Option<f32>,
}

/// One of each in turn, and then the rest.
pub(super) fn alternated(
    mut one: impl Iterator<Item = ItemIdx>,
    mut other: impl Iterator<Item = ItemIdx>,
) -> Vec<ItemIdx> {
    let mut all = Vec::new();
    loop {
        let (a, b) = (one.next(), other.next());
        if a.is_none() && b.is_none() {
            return all;
        }
        all.extend([a, b].into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(items: impl IntoIterator<Item = u32>) -> Vec<Recommended> {
        let entry = |item| Recommended { item, score: 100.0 - item as f32, source: Source::ItemCf };
        items.into_iter().map(entry).collect()
    }

    fn items(list: &[Recommended]) -> Vec<u32> {
        list.iter().map(|listed| listed.item).collect()
    }

    #[test]
    fn places_after_the_first_page_are_given_to_what_is_not_above() {
        let room = Room { share: 0.5, shown_before: 0 };
        let mut list = listed(0..16);
        // 3 stands above already; 14 moves up; 51 is not admitted.
        let placed = room.give(&mut list, [3, 14, 51, 50, 52].into_iter(), |item| item != 51);
        assert_eq!(items(&list)[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(items(&list)[10..], [10, 14, 11, 50, 12, 52]);
        let added = [Some(4.0), None, None];
        let roomed = [14, 50, 52].into_iter().zip(added);
        let roomed: Vec<Roomed> = roomed.map(|(item, added)| Roomed { item, added }).collect();
        assert_eq!((placed, room.of(16)), (roomed, 3));
        assert!(list.is_sorted_by(|a, b| a.score >= b.score), "{list:?}");
        assert_eq!((list[13].score, list[13].source), (list[12].score, Source::Content));
        assert_eq!(list[11].source, Source::ItemCf);
    }

    #[test]
    fn later_pages_go_on_and_short_lists_stay() {
        let second = Room { share: 0.2, shown_before: 10 };
        let mut list = listed(0..10);
        second.give(&mut list, [50, 51, 52].into_iter(), |_| true);
        assert_eq!(items(&list), [0, 1, 2, 3, 50, 4, 5, 6, 7, 51]);

        let begins = Room { share: 0.2, shown_before: 14 };
        let mut list = listed(0..10);
        begins.give(&mut list, [50, 51].into_iter(), |_| true);
        assert_eq!(items(&list), [50, 0, 1, 2, 3, 51, 4, 5, 6, 7]);
        assert!(list.is_sorted_by(|a, b| a.score >= b.score), "{list:?}");

        let first = Room { share: 0.2, shown_before: 0 };
        let mut list = listed(0..10);
        first.give(&mut list, [50].into_iter(), |_| true);
        assert_eq!(items(&list), (0..10).collect::<Vec<_>>());
        let mut list = listed(0..20);
        let none = Room { share: 0.0, ..first }.give(&mut list, [50].into_iter(), |_| true);
        assert_eq!((list.len(), none.len()), (20, 0));
        // Without rare items every place stays with its own.
        first.give(&mut list, [].into_iter(), |_| true);
        assert_eq!(items(&list), (0..20).collect::<Vec<_>>());
    }
}
