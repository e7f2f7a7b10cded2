//! Ranking metrics with binary gains, and metrics of a system as a whole.
//!
//! For a list L cut at k and a ground truth T (which may contain items unknown to the catalogue):
//! precision = hits / k; recall = hits / |T|; F1 their harmonic mean; NDCG = Σ over hits at rank r
//! of 1 / log2(r + 1), over the same sum for min(k, |T|) hits at the top; MAP = Σ over hits of the
//! precision at their rank, over min(k, |T|); MRR = 1 / rank of the first hit; hit rate = 1 if
//! there is a hit. Järvelin and Kekäläinen 2002 for NDCG.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::domain::ItemIdx;

/// The metrics of one list, or their mean over lists.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Metrics {
    /// Hits / k.
    pub precision: f64,
    /// Hits / |truth|.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Discounted gain over the ideal one.
    pub ndcg: f64,
    /// Average precision.
    pub map: f64,
    /// 1 / rank of the first hit.
    pub mrr: f64,
    /// Whether there is a hit: 0 or 1.
    pub hit_rate: f64,
}

impl Metrics {
    /// Names, in the order of [`Metrics::values`].
    pub const NAMES: [&'static str; 7] =
        ["precision", "recall", "f1", "ndcg", "map", "mrr", "hit_rate"];
    /// The place of recall among them.
    pub const RECALL: usize = 1;
    /// The place of NDCG among them.
    pub const NDCG: usize = 3;

    /// Every metric.
    pub fn values(&self) -> [f64; 7] {
        [self.precision, self.recall, self.f1, self.ndcg, self.map, self.mrr, self.hit_rate]
    }
}

/// The ground truth of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Truth {
    /// The items known to the catalogue, ascending.
    pub items: Vec<ItemIdx>,
    /// Their number, unknown items included.
    pub len: usize,
}

impl Truth {
    /// A ground truth of known items, in any order and with duplicates, and of `unknown` further
    /// ones.
    pub fn new(mut items: Vec<ItemIdx>, unknown: usize) -> Self {
        items.sort_unstable();
        items.dedup();
        Self { len: items.len() + unknown, items }
    }

    /// Whether it contains an item.
    pub fn holds(&self, item: ItemIdx) -> bool {
        self.items.binary_search(&item).is_ok()
    }
}

/// The metrics of one list at k; a shorter list is not scored as if k were smaller.
pub fn score(list: &[ItemIdx], truth: &Truth, k: usize) -> Metrics {
    let mut hits = 0.0;
    let mut gain = 0.0;
    let mut precisions = 0.0;
    let mut first = 0.0;
    for (rank, item) in (1..).zip(list.iter().take(k)) {
        if truth.holds(*item) {
            hits += 1.0;
            gain += discount(rank);
            precisions += hits / rank as f64;
            if hits == 1.0 {
                first = 1.0 / rank as f64;
            }
        }
    }

    let best = k.min(truth.len);
    let ideal: f64 = (1..=best).map(discount).sum();
    let precision = hits / k as f64;
    let recall = hits / truth.len as f64;
    Metrics {
        precision,
        recall,
        f1: if hits > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 },
        ndcg: gain / ideal,
        map: precisions / best as f64,
        mrr: first,
        hit_rate: f64::from(hits > 0.0),
    }
}

fn discount(rank: usize) -> f64 {
    1.0 / (rank as f64 + 1.0).log2()
}

/// The mean of each metric.
pub fn mean(lists: &[Metrics]) -> [f64; 7] {
    let mut sums = [0.0; 7];
    for metrics in lists {
        for (sum, value) in sums.iter_mut().zip(metrics.values()) {
            *sum += value;
        }
    }
    sums.map(|sum| sum / lists.len().max(1) as f64)
}

/// 95 % intervals of the means, by resampling lists (the percentile bootstrap,
/// 1,000 rounds).
pub fn bootstrap(lists: &[Metrics], seed: u64) -> [(f64, f64); 7] {
    const ROUNDS: usize = 1_000;
    if lists.is_empty() {
        return [(0.0, 0.0); 7];
    }

    let mut rng = StdRng::seed_from_u64(seed);
    let mut means: [Vec<f64>; 7] = Default::default();
    for _ in 0..ROUNDS {
        let mut sums = [0.0; 7];
        for _ in 0..lists.len() {
            let drawn = lists[rng.random_range(0..lists.len())].values();
            sums.iter_mut().zip(drawn).for_each(|(sum, value)| *sum += value);
        }
        means.iter_mut().zip(sums).for_each(|(m, sum)| m.push(sum / lists.len() as f64));
    }

    means.map(|mut m| {
        m.sort_unstable_by(f64::total_cmp);
        (m[ROUNDS * 25 / 1_000], m[ROUNDS * 975 / 1_000 - 1])
    })
}

/// Metrics of a system, not of a single list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct System {
    /// Share of the catalogue that is recommended at least once.
    pub coverage: f64,
    /// Mean of −log2 (share of users who have the item) over recommended items.
    pub novelty: f64,
    /// Gini coefficient of how often each item is recommended: 0: all equally often; 1: one item
    /// only.
    pub gini: f64,
}

/// Metrics of the lists cut at k; `buyers[i]` of `users` users have item i.
pub fn system(lists: &[Vec<ItemIdx>], k: usize, buyers: &[u32], users: usize) -> System {
    let mut shown = vec![0u64; buyers.len()];
    let mut surprise = 0.0;
    let mut total = 0u64;
    for item in lists.iter().flat_map(|list| list.iter().take(k)) {
        shown[*item as usize] += 1;
        // An item without users counts as one with a single user.
        surprise -= (f64::from(buyers[*item as usize].max(1)) / users.max(1) as f64).log2();
        total += 1;
    }

    let covered = shown.iter().filter(|&&n| n > 0).count();
    shown.sort_unstable();
    let n = shown.len() as f64;
    let weighted: f64 = (1..).zip(&shown).map(|(rank, &x)| f64::from(rank) * x as f64).sum();
    let total = total.max(1) as f64;
    System {
        coverage: covered as f64 / n.max(1.0),
        novelty: surprise / total,
        gini: 2.0 * weighted / (n * total) - (n + 1.0) / n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
    }

    #[test]
    fn by_hand() {
        // Hits at ranks 2 and 5 of 5; the ground truth has three items, one of them unknown.
        let truth = Truth::new(vec![40, 20, 20], 1);
        let m = score(&[10, 20, 30, 50, 40, 60], &truth, 5);
        close(m.precision, 2.0 / 5.0);
        close(m.recall, 2.0 / 3.0);
        close(m.f1, 0.5);
        // (1/log2 3 + 1/log2 6) / (1 + 1/log2 3 + 1/2)
        close(m.ndcg, (0.630_929_753 + 0.386_852_807) / 2.130_929_753);
        close(m.map, (1.0 / 2.0 + 2.0 / 5.0) / 3.0);
        close(m.mrr, 0.5);
        close(m.hit_rate, 1.0);
    }

    #[test]
    fn a_truth_longer_than_the_list_and_a_list_without_a_hit() {
        let truth = Truth::new((0..10).collect(), 0);
        let perfect = score(&[3, 1], &truth, 2);
        assert_eq!((perfect.ndcg, perfect.map, perfect.precision), (1.0, 1.0, 1.0));
        close(perfect.recall, 0.2);
        assert_eq!(score(&[77, 78], &truth, 2), Metrics::default());
        // Short lists are not scored as if k were smaller.
        close(score(&[3], &truth, 2).precision, 0.5);
        close(score(&[3], &truth, 2).ndcg, 1.0 / 1.630_929_753);
    }

    #[test]
    fn systems_by_hand() {
        let lists = [vec![0, 1], vec![0, 2]];
        let s = system(&lists, 2, &[4, 2, 1, 0], 8);
        close(s.coverage, 0.75);
        close(s.novelty, (1.0 + 2.0 + 1.0 + 3.0) / 4.0);
        // Shown 0, 1, 1, 2 times: 2 (1·0 + 2·1 + 3·1 + 4·2) / (4 · 4) − 5/4.
        close(s.gini, 26.0 / 16.0 - 1.25);
    }

    #[test]
    fn intervals_hold_the_mean_and_are_seeded() {
        let lists: Vec<Metrics> =
            (0..200).map(|i| Metrics { recall: f64::from(i % 2), ..Metrics::default() }).collect();
        let intervals = bootstrap(&lists, 1);
        let (low, high) = intervals[1];
        assert!(low < 0.5 && 0.5 < high && high - low < 0.2, "{low} {high}");
        assert_eq!(bootstrap(&lists, 1), intervals);
        close(mean(&lists)[1], 0.5);
    }
}
