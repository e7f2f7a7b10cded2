//! Merges items that the model does not know, or not yet well, into its list: those taken together
//! since it was trained, and new ones that are alike. Their scores are relative to the best of the
//! list.

use super::list::Recommended;
use crate::domain::topk::Scored;
use crate::live::ItemMask;
use crate::model::Source;

/// Merges those of `fresh`, with scores from 0 to 1, that may be offered and score higher than the
/// list's last; the list stays at most `limit` long.
pub(super) fn merge(
    list: &mut Vec<Recommended>,
    fresh: &[Scored],
    source: Source,
    limit: usize,
    mask: &mut ItemMask,
) {
    if fresh.is_empty() {
        return;
    }

    let best = list.first().map_or(1.0, |first| first.score);
    for found in fresh {
        let score = best * found.score;
        let listed = list.iter_mut().find(|listed| listed.item == found.idx);
        match listed {
            Some(listed) if listed.score < score => {
                (listed.score, listed.source) = (score, source);
            }
            Some(_) => {}
            None if mask.allows(found.idx) => {
                mask.forbid(found.idx);
                list.push(Recommended { item: found.idx, score, source });
            }
            None => {}
        }
    }

    list.sort_by(|a, b| b.score.total_cmp(&a.score));
    for dropped in list.drain(limit.min(list.len())..) {
        mask.allow(dropped.item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_better_comes_in_and_the_worst_goes_out() {
        let entry = |item, score| Recommended { item, score, source: Source::ItemCf };
        let mut list = vec![entry(0, 4.0), entry(1, 2.0), entry(2, 1.0)];
        let mut mask = ItemMask::default();
        mask.allow_first(9);
        (0..3).chain([8]).for_each(|item| mask.forbid(item));
        let fresh = [(5, 0.6), (8, 0.9), (1, 0.3), (2, 0.7), (6, 0.1)];
        let fresh = fresh.map(|(idx, score)| Scored { idx, score });
        merge(&mut list, &fresh, Source::Fresh, 4, &mut mask);
        let order: Vec<_> = list.iter().map(|r| (r.item, r.source)).collect();
        assert_eq!(
            order,
            [(0, Source::ItemCf), (2, Source::Fresh), (5, Source::Fresh), (1, Source::ItemCf)]
        );
    }
}
