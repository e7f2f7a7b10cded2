//! Room for new items: after the first page, a share of a list's places goes to rare items that
//! content proposes, whatever they score. Nothing is known of who takes them, so that behaviour would
//! never show them; and what is never shown stays unknown.

use crate::domain::topk::Scored;

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
    /// Whether the place, from 0, is given away.
    fn holds(&self, place: usize) -> bool {
        let Some(after) = (self.shown_before + place).checked_sub(FIRST_PAGE) else { return false };
        let given = |places: usize| (places as f32 * self.share) as usize;
        given(after + 1) > given(after)
    }

    /// Gives the places in a list, best first, to those of `rare`, best first, that do not stand above
    /// already; each has the score of the item above it. What makes room moves down.
    pub fn give(&self, list: &mut Vec<Scored>, rare: impl Iterator<Item = Scored>) {
        let ends_before = self.shown_before + list.len() <= FIRST_PAGE;
        if self.share <= 0.0 || ends_before {
            return;
        }

        let mut rare = rare.peekable();
        let mut others = std::mem::take(list).into_iter().peekable();
        let mut last = others.peek().map_or(0.0, |best| best.score);
        while others.peek().is_some() {
            let stands = |idx: u32| list.iter().any(|above| above.idx == idx);
            if self.holds(list.len()) {
                while rare.next_if(|next| stands(next.idx)).is_some() {}
                if let Some(next) = rare.next() {
                    list.push(Scored { idx: next.idx, score: last });
                    continue;
                }
            }
            let next = others.next().filter(|next| !stands(next.idx));
            if let Some(next) = next {
                last = next.score;
                list.push(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(ids: impl IntoIterator<Item = u32>) -> Vec<Scored> {
        ids.into_iter().map(|idx| Scored { idx, score: 100.0 - idx as f32 }).collect()
    }

    fn ids(list: &[Scored]) -> Vec<u32> {
        list.iter().map(|s| s.idx).collect()
    }

    #[test]
    fn places_after_the_first_page_are_given_to_what_is_not_above() {
        let room = Room { share: 0.5, shown_before: 0 };
        let mut list = scored(0..16);
        // 3 stands above already; 14 moves up.
        room.give(&mut list, scored([3, 14, 50, 51]).into_iter());
        assert_eq!(ids(&list)[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(ids(&list)[10..], [10, 14, 11, 50, 12, 51, 13, 15]);
        assert!(list.is_sorted_by(|a, b| a.score >= b.score), "{list:?}");
        assert_eq!(list[13].score, list[12].score);
    }

    #[test]
    fn later_pages_go_on_and_short_lists_stay() {
        let second = Room { share: 0.2, shown_before: 10 };
        let mut list = scored(0..10);
        second.give(&mut list, scored([50, 51, 52]).into_iter());
        assert_eq!(ids(&list), [0, 1, 2, 3, 50, 4, 5, 6, 7, 51, 8, 9]);

        let first = Room { share: 0.2, shown_before: 0 };
        let mut list = scored(0..10);
        first.give(&mut list, scored([50]).into_iter());
        assert_eq!(ids(&list), (0..10).collect::<Vec<_>>());
        let mut list = scored(0..20);
        Room { share: 0.0, ..first }.give(&mut list, scored([50]).into_iter());
        assert_eq!(list.len(), 20);
    }
}
