//! Fills a list whose candidates run out: popular items, then the rest of the shelf in the
//! catalogue's order. So a list is as long as the shelf allows.

use super::list::Recommended;
use crate::domain::ItemIdx;
use crate::domain::topk::Scored;
use crate::live::ItemMask;
use crate::model::{Ranking, Source};

/// Fills `list` up to `limit` from `rankings`, one after the other, and then from the rest of
/// `mask`; scores continue below those in the list. Removes offered items from the mask.
pub(super) fn fill<'a>(
    list: &mut Vec<Recommended>,
    limit: usize,
    rankings: impl IntoIterator<Item = &'a Ranking>,
    mask: &mut ItemMask,
) {
    fill_admitted(list, limit, rankings, mask, |_| true);
}

/// The same, with those items alone that `admit` takes.
pub(super) fn fill_admitted<'a>(
    list: &mut Vec<Recommended>,
    limit: usize,
    rankings: impl IntoIterator<Item = &'a Ranking>,
    mask: &mut ItemMask,
    mut admit: impl FnMut(ItemIdx) -> bool,
) {
    list.iter().for_each(|r| mask.forbid(r.item));
    for ranking in rankings {
        fill_from_admitted(list, limit, ranking.iter(), mask, &mut admit);
    }
    let missing = limit.saturating_sub(list.len());
    let rest = mask.iter().filter(|&item| admit(item)).take(missing);
    let rest: Vec<(ItemIdx, f32)> = rest.map(|item| (item, 0.0)).collect();
    append(list, Source::Catalog, &rest, mask);
}

/// Fills from one ranking, as far as it goes.
pub(super) fn fill_from(
    list: &mut Vec<Recommended>,
    limit: usize,
    ranking: impl Iterator<Item = Scored>,
    mask: &mut ItemMask,
) {
    fill_from_admitted(list, limit, ranking, mask, &mut |_| true);
}

fn fill_from_admitted(
    list: &mut Vec<Recommended>,
    limit: usize,
    ranking: impl Iterator<Item = Scored>,
    mask: &mut ItemMask,
    admit: &mut impl FnMut(ItemIdx) -> bool,
) {
    let missing = limit.saturating_sub(list.len());
    let offered = ranking.filter(|s| mask.allows(s.idx) && admit(s.idx)).take(missing);
    let found: Vec<(ItemIdx, f32)> = offered.map(|s| (s.idx, s.score)).collect();
    append(list, Source::Popular, &found, mask);
}

fn append(
    list: &mut Vec<Recommended>,
    source: Source,
    found: &[(ItemIdx, f32)],
    mask: &mut ItemMask,
) {
    let best = found.first().map_or(0.0, |f| f.1);
    // An empty list keeps the ranking's own scores; otherwise scores continue below the last one.
    let last = list.last().map(|last| last.score.max(0.0) * 0.5);
    for &(item, score) in found {
        mask.forbid(item);
        let score = match last {
            Some(last) if best > 0.0 => last * (score / best),
            _ => score,
        };
        list.push(Recommended { item, score, source });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_go_on_falling_and_nothing_comes_twice() {
        let mut mask = ItemMask::default();
        mask.allow_first(6);
        mask.forbid(4);
        let mut list = vec![Recommended { item: 2, score: 0.8, source: Source::ItemCf }];
        let trending = Ranking::new([0.0, 5.0, 9.0, 10.0]);
        let all_time = Ranking::new([7.0, 8.0, 9.0, 10.0]);
        fill(&mut list, 9, [&trending, &all_time], &mut mask);
        assert_eq!(list.iter().map(|r| r.item).collect::<Vec<_>>(), [2, 3, 1, 0, 5]);
        assert!(list.is_sorted_by(|a, b| a.score >= b.score), "{list:?}");
        assert_eq!(list[1].source, Source::Popular);
        assert_eq!((list[4].source, list[4].score), (Source::Catalog, 0.0));

        // However high the last score is.
        let mut list = vec![Recommended { item: 2, score: 1e30, source: Source::ItemCf }];
        mask.allow_first(6);
        fill(&mut list, 9, [&Ranking::default()], &mut mask);
        assert!(list.len() == 6 && list[1..].iter().all(|rest| rest.score == 0.0), "{list:?}");
    }
}
