//! Fits the blend's weights to the proposals of the sources for held-out cases.
//!
//! Each source's list is computed once; evaluating weights then costs one pass over the proposals.
//! Coordinate search over mean NDCG at 10: every weight in turn is tried at a few multiples by
//! itself, as long as that improves.

use rayon::prelude::*;

use super::compare::mean;
use crate::domain::topk::{Scored, Threshold, keep_top};
use crate::evaluate::{Case, Truth};
use crate::model::Source;
use crate::model::blend::BlendSettings;
use crate::recommend::Recommended;
use crate::recommend::room::Room;

/// Number of sources whose weights are fitted here.
const SOURCES: usize = Source::TRAINED.len();
/// Length of the lists that weights are judged by.
const K: usize = 10;
/// Length of long lists.
const LONG: usize = 50;
/// Maximum number of rounds over all weights.
const ROUNDS: usize = 5;
/// An improvement below this is noise and ends the search.
const MIN_GAIN: f64 = 1e-4;
/// Minimum contribution of a source that is kept: every source costs every list time.
const MIN_SHARE: f64 = 1.005;
/// Multiples of a weight that are tried.
const MULTIPLES: [f32; 5] = [0.0, 0.5, 0.75, 1.4, 2.5];
/// Number of single sources, the best, that the search starts from.
const SINGLES: usize = 3;
/// Weight of the other sources where the search starts from all of them, relative to the best one's.
const TOGETHER: f32 = 0.3;
/// Values tried for a weight of 0, relative to the largest weight.
const FROM_NOTHING: [f32; 2] = [0.05, 0.3];

/// The weight of each source.
type Weights = [f32; SOURCES];

/// The proposals of all sources for one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposals {
    /// Items with each source's score, scaled to a maximum of 1; 0 where it does
    /// not propose the item.
    pub items: Vec<(u32, [f32; SOURCES])>,
    /// Which of them are in the ground truth, in the order of `items`.
    pub wanted: Vec<bool>,
    /// Size of the ground truth, proposed or not.
    pub truth: usize,
}

impl Proposals {
    /// Merges the sources' lists, each best first.
    pub fn new(lists: &[Vec<Scored>; SOURCES], truth: &Truth) -> Self {
        let mut all: Vec<(u32, usize, f32)> = Vec::new();
        for (source, list) in lists.iter().enumerate() {
            let best = list.first().map_or(1.0, |s| s.score);
            all.extend(list.iter().map(|s| (s.idx, source, s.score / best)));
        }

        all.sort_unstable_by_key(|&(item, source, _)| (item, source));
        let items: Vec<(u32, [f32; SOURCES])> = all
            .chunk_by(|a, b| a.0 == b.0)
            .map(|of_item| {
                let mut scores = [0.0; SOURCES];
                of_item.iter().for_each(|&(_, source, score)| scores[source] = score);
                (of_item[0].0, scores)
            })
            .collect();

        let wanted = items.iter().map(|(item, _)| truth.holds(*item)).collect();
        Self { items, wanted, truth: truth.len }
    }

    /// The proposals without some items, given in ascending order; these stay in the ground truth.
    pub fn without(&self, items: &[u32]) -> Self {
        let kept = self.items.iter().zip(&self.wanted);
        let kept = kept.filter(|((item, _), _)| items.binary_search(item).is_err());
        let (items, wanted) = kept.map(|(item, wanted)| (*item, *wanted)).unzip();
        Self { items, wanted, truth: self.truth }
    }

    /// The proposals with another list of one source, best first.
    pub fn with_list(&self, source: Source, list: &[Scored], truth: &Truth) -> Self {
        let Some(at) = Source::TRAINED.iter().position(|&trained| trained == source) else {
            return self.clone();
        };
        let mut items = self.items.clone();
        items.iter_mut().for_each(|(_, scores)| scores[at] = 0.0);
        let known = items.len();
        let best = list.first().map_or(1.0, |s| s.score);
        for candidate in list {
            let score = candidate.score / best;
            match items[..known].binary_search_by_key(&candidate.idx, |&(item, _)| item) {
                Ok(place) => items[place].1[at] = score,
                Err(_) => {
                    let mut scores = [0.0; SOURCES];
                    scores[at] = score;
                    items.push((candidate.idx, scores));
                }
            }
        }
        items.sort_unstable_by_key(|&(item, _)| item);
        let wanted = items.iter().map(|(item, _)| truth.holds(*item)).collect();
        Self { items, wanted, truth: self.truth }
    }

    /// The places of the best `k` of the items, best first.
    fn list(&self, weights: &Weights, k: usize) -> Vec<Scored> {
        let score = |scores: &[f32; SOURCES]| -> f32 {
            scores.iter().zip(weights).map(|(s, w)| s * w).sum()
        };

        let mut best = Threshold::new(k);
        let mut list = Vec::new();
        for (idx, (_, scores)) in (0u32..).zip(&self.items) {
            best.push(&mut list, Scored { idx, score: score(scores) });
        }
        keep_top(&mut list, k);
        list
    }

    /// The places of the rare items that content proposes, best first.
    fn rare_by_content(&self, rare: impl Fn(u32) -> bool) -> Vec<Scored> {
        let at = Source::TRAINED.iter().position(|&source| source == Source::Content);
        let items = (0u32..).zip(&self.items).filter(|(_, (item, _))| rare(*item));
        let of_content = items.filter_map(|(idx, (_, scores))| Some((idx, scores[at?])));
        let proposed = of_content.filter(|(_, score)| *score > 0.0);
        let mut rare: Vec<Scored> = proposed.map(|(idx, score)| Scored { idx, score }).collect();
        rare.sort_unstable_by(Scored::best_first);
        rare
    }

    fn ndcg(&self, weights: &Weights) -> f64 {
        self.ndcg_of(self.list(weights, K), K)
    }

    fn ndcg_of(&self, list: impl IntoIterator<Item = Scored>, k: usize) -> f64 {
        let discount = |rank: usize| 1.0 / (rank as f64 + 1.0).log2();
        let hits = (1..).zip(list).filter(|(_, s)| s.score > 0.0 && self.wanted[s.idx as usize]);
        let gain: f64 = hits.map(|(rank, _)| discount(rank)).sum();
        let ideal: f64 = (1..=k.min(self.truth)).map(discount).sum();
        gain / ideal
    }
}

/// NDCG at 10 with these weights, case by case.
pub fn ndcg(cases: &[Proposals], weights: &BlendSettings) -> Vec<f64> {
    scores(cases, &Source::TRAINED.map(|source| weights.weight(source)))
}

/// NDCG of long lists, case by case, in which rare items that content proposes get a share of the
/// places after the first page.
pub fn ndcg_of_long(
    cases: &[Proposals],
    weights: &BlendSettings,
    room: f32,
    rare: impl Fn(u32) -> bool + Sync,
) -> Vec<f64> {
    let weights = Source::TRAINED.map(|source| weights.weight(source));
    let room = Room { share: room, shown_before: 0 };
    let of_case = |case: &Proposals| {
        let list = case.list(&weights, LONG).into_iter();
        let listed =
            |s: Scored| Recommended { item: s.idx, score: s.score, source: Source::Popular };
        let mut list: Vec<Recommended> = list.map(listed).collect();
        room.give(&mut list, case.rare_by_content(&rare).into_iter().map(|s| s.idx), |_| true);
        let list = list.into_iter().map(|listed| Scored { idx: listed.item, score: listed.score });
        case.ndcg_of(list, LONG)
    };
    cases.par_iter().map(of_case).collect()
}

fn scores(cases: &[Proposals], weights: &Weights) -> Vec<f64> {
    cases.par_iter().map(|case| case.ndcg(weights)).collect()
}

/// Fits the weights, starting from `start`, from the best single sources and from all sources together;
/// the largest is 1. A source with too small a contribution is left out.
pub fn fit(cases: &[Proposals], start: &BlendSettings) -> BlendSettings {
    let reached = |weights: &Weights| mean(&scores(cases, weights));
    let singles = (0..SOURCES).map(|only| std::array::from_fn(|i| f32::from(u8::from(i == only))));
    let mut singles: Vec<(f64, Weights)> =
        singles.map(|weights| (reached(&weights), weights)).collect();
    singles.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = singles[0].1;
    let starts = singles.into_iter().take(SINGLES).map(|(_, weights)| weights);
    let together = best.map(|weight| weight.max(TOGETHER));
    let starts = starts.chain([together, Source::TRAINED.map(|source| start.weight(source))]);
    // A coordinate search ends at the first peak that it meets: a bad start must not hide a good end.
    let peaks = starts.map(|weights| climb(weights, &reached));
    let Some((_, mut weights)) = peaks.max_by(|a, b| a.0.total_cmp(&b.0)) else { return *start };

    let mut by_weight: Vec<usize> = (0..SOURCES).filter(|&at| weights[at] > 0.0).collect();
    by_weight.sort_by(|&a, &b| weights[a].total_cmp(&weights[b]));

    let mut with = scores(cases, &weights);
    for source in by_weight {
        let mut without = weights;
        without[source] = 0.0;
        let scored = scores(cases, &without);
        if mean(&with) < mean(&scored) * MIN_SHARE {
            (weights, with) = (without, scored);
        }
    }

    let largest = weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let mut fitted = *start;
    for (source, weight) in Source::TRAINED.into_iter().zip(weights) {
        fitted.set_weight(source, weight / largest);
    }
    fitted
}

/// Changes every weight in turn, as long as that improves; what it reaches, and with which weights.
fn climb(mut weights: Weights, reached: &impl Fn(&Weights) -> f64) -> (f64, Weights) {
    let mut best = reached(&weights);
    for _ in 0..ROUNDS {
        let before = best;
        for source in 0..SOURCES {
            let weight = weights[source];
            let tries: Vec<f32> = if weight == 0.0 {
                FROM_NOTHING.to_vec()
            } else {
                MULTIPLES.iter().map(|m| m * weight).collect()
            };

            for tried in tries {
                let mut changed = weights;
                changed[source] = tried;
                let ndcg = reached(&changed);
                if ndcg > best {
                    (best, weights) = (ndcg, changed);
                }
            }
        }
        if best - before < MIN_GAIN {
            break;
        }
    }
    (best, weights)
}

/// The quality of the blend, fitted again, where no item of the user's past is offered.
pub fn without_seen(proposals: &[Proposals], cases: &[Case], start: &BlendSettings) -> f64 {
    let unseen = |(proposals, case): (&Proposals, &Case)| {
        let mut seen: Vec<u32> = case.history.iter().map(|e| e.item).collect();
        seen.sort_unstable();
        proposals.without(&seen)
    };
    let unseen: Vec<Proposals> = proposals.iter().zip(cases).map(unseen).collect();
    mean(&ndcg(&unseen, &fit(&unseen, start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_follow_the_source_that_knows() {
        let list = |items: &[u32]| -> Vec<Scored> {
            let scores = (0..).map(|i| 1.0 / (1.0 + i as f32));
            items.iter().zip(scores).map(|(&idx, score)| Scored { idx, score }).collect()
        };
        let cases: Vec<Proposals> = (0..50)
            .map(|case| {
                let mut lists: [Vec<Scored>; SOURCES] = Default::default();
                lists[0] = list(&(100..130).collect::<Vec<_>>());
                lists[3] = list(&[case, 60, 61]);
                Proposals::new(&lists, &Truth::new(vec![case], 0))
            })
            .collect();

        let weights = fit(&cases, &BlendSettings::default());
        assert_eq!(mean(&ndcg(&cases, &weights)), 1.0);
        assert_eq!(weights.ease, 1.0);
        assert_eq!(weights.item_cf, 0.0);
    }
}
