//! Vectors by length, longest first. By inner product the longest are the nearest of most queries: a
//! scan of them ends as soon as no shorter vector can be among the best, since ⟨q, y⟩ ≤ ‖q‖ ‖y‖
//! (Teflioudi et al., LEMP, SIGMOD 2015); its result is exact but for the rounding of the codes. In a
//! graph, which links what is alike in direction, they are far from each other.

use multiversion::multiversion;

use crate::domain::kernels::dot;
use crate::domain::topk::{Scored, select_top};
use crate::model::vectors::graph::{Score, SearchState, Vectors};
use crate::model::vectors::quantized::QuantizedVectors;

/// Most vectors that count as the longest, as a share of all: 1/8;
const SHARE: usize = 8;
/// and in number.
const MOST: usize = 16_384;
/// Vectors after which the end is looked for again.
const STEP: usize = 128;
/// There are longest vectors where they are at least this many times as long as the shortest of
/// them: of vectors alike in length, none can be left out.
const LONGER: f32 = 1.5;

/// What a scan looks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Length of the list.
    pub k: usize,
    /// Number collected, at least `k`.
    pub keep: usize,
    /// Vectors scored, at most; twice as many where the scan is known to end within them.
    pub most: usize,
}

/// Scores that others must exceed, of what has been collected so far.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// To be among the best `k`.
    wanted: f32,
    /// To be among the best `keep`.
    kept: f32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { wanted: f32::NEG_INFINITY, kept: f32::NEG_INFINITY }
    }
}

impl Bounds {
    /// Truncates what has been collected, more than `keep`, to its best `keep`.
    fn select(best: &mut Vec<Scored>, k: usize, keep: usize) -> Self {
        select_top(best, keep);
        // The selection leaves the worst of the kept ones in the last place.
        let kept = best[keep - 1].score;
        let (_, wanted, _) = best.select_nth_unstable_by(k - 1, Scored::best_first);
        Self { wanted: wanted.score, kept }
    }
}

/// Vectors by length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ByLength {
    /// The items, longest vector first.
    items: Vec<u32>,
    /// The lengths of their vectors.
    lengths: Vec<f32>,
    /// Their vectors, side by side.
    vectors: QuantizedVectors,
}

impl ByLength {
    /// The longest of all vectors; none where lengths differ little.
    pub fn longest(vectors: Vectors<'_>) -> Self {
        let count = (vectors.values.len() / vectors.dimensions.max(1)) as u32;
        let all = (0..count).map(|item| by_length(vectors, item));
        let mut all: Vec<Scored> = all.filter(|s| s.score > 0.0).collect();
        let kept = (all.len() / SHARE).min(MOST);
        select_top(&mut all, kept);
        all.sort_unstable_by(Scored::best_first);

        let ends = all.first().zip(all.last());
        let differ = ends.is_some_and(|(first, last)| first.score > LONGER * last.score);
        if differ { Self::sorted(&all, vectors) } else { Self::default() }
    }

    /// The vectors of these items.
    pub fn of(items: &[u32], vectors: Vectors<'_>) -> Self {
        let mut all: Vec<Scored> = items.iter().map(|&item| by_length(vectors, item)).collect();
        all.sort_unstable_by(Scored::best_first);
        Self::sorted(&all, vectors)
    }

    fn sorted(all: &[Scored], vectors: Vectors<'_>) -> Self {
        let values: Vec<f32> = all.iter().flat_map(|s| vectors.row(s.idx)).copied().collect();
        let dimensions = vectors.dimensions;
        Self {
            items: all.iter().map(|s| s.idx).collect(),
            lengths: all.iter().map(|s| s.score).collect(),
            vectors: QuantizedVectors::new(Vectors { dimensions, values: &values }),
        }
    }

    /// Offers the allowed items to a finished search, as far as one can be among its best `ef`.
    pub(super) fn offer_to(
        &self,
        search: &mut SearchState,
        query: &[f32],
        ef: usize,
        allows: &impl Fn(u32) -> bool,
    ) {
        if self.items.is_empty() {
            return;
        }

        let length = dot(query, query).sqrt();
        let scorer = self.vectors.scorer(query);
        for (at, (&idx, own)) in self.items.iter().zip(&self.lengths).enumerate() {
            if search.worst(ef).is_some_and(|worst| worst >= length * own) {
                return;
            }
            if allows(idx) {
                search.add(Scored { idx, score: scorer.of(at) }, ef);
            }
        }
    }

    /// Collects into `best` the best allowed items among the longest, in no particular order. True
    /// if no other item is among the best `k`, but for the rounding of the codes.
    pub(super) fn scan(
        &self,
        query: &[f32],
        Wanted { k, keep, most }: Wanted,
        allows: &impl Fn(u32) -> bool,
        best: &mut Vec<Scored>,
    ) -> bool {
        best.clear();
        if k == 0 {
            return true;
        }
        if self.items.is_empty() {
            return false;
        }

        let length = dot(query, query).sqrt();
        let scorer = self.vectors.scorer(query);
        let mut scored = 0;
        let mut bounds = Bounds::default();
        let mut ends = false;
        for (step, items) in self.items.chunks(STEP).enumerate() {
            let first = step * STEP;
            ends = bounds.wanted >= length * self.lengths[first];
            let end = || self.end(first, bounds.wanted / length);
            if ends || (scored >= most && end() > first + most) {
                break;
            }

            scored += score_step(&scorer, first, items, allows, bounds.kept, best);
            // A selection after every step would cost more than the steps.
            if best.len() >= keep + STEP / 2 {
                bounds = Bounds::select(best, k, keep);
            }
        }
        select_top(best, keep);
        ends
    }

    /// The first vector from `first` on that is at most this long; [`usize::MAX`] where none is.
    fn end(&self, first: usize, length: f32) -> usize {
        let longer = self.lengths[first..].partition_point(|&own| own > length);
        let end = first + longer;
        if end < self.lengths.len() { end } else { usize::MAX }
    }
}

/// An item with the length of its vector.
fn by_length(vectors: Vectors<'_>, idx: u32) -> Scored {
    let row = vectors.row(idx);
    Scored { idx, score: dot(row, row).sqrt() }
}

/// Scores the allowed ones of `items`, whose vectors begin with the one at `first`, and collects those
/// above `floor`; returns the number of allowed ones.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn score_step<S: Score>(
    scorer: &S,
    first: usize,
    items: &[u32],
    allows: &impl Fn(u32) -> bool,
    floor: f32,
    best: &mut Vec<Scored>,
) -> usize {
    let mut scored = 0;
    for (at, &idx) in items.iter().enumerate().filter(|(_, idx)| allows(**idx)) {
        scored += 1;
        let score = scorer.score((first + at) as u32);
        if score > floor {
            best.push(Scored { idx, score });
        }
    }
    scored
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::domain::topk::keep_top;

    const DIMENSIONS: usize = 8;
    const ITEMS: usize = 8_000;

    /// Vectors of random direction, each shorter than the one before it by the same share.
    fn values(share: f32) -> Vec<f32> {
        let mut random = StdRng::seed_from_u64(1);
        let row = |at: usize| {
            let length = share.powi(at as i32);
            let row: Vec<f32> = (0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect();
            row.into_iter().map(move |x| x * length).collect::<Vec<f32>>()
        };
        (0..ITEMS).flat_map(row).collect()
    }

    #[test]
    fn a_scan_that_ends_early_is_exact() {
        let values = values(0.998);
        let vectors = Vectors { dimensions: DIMENSIONS, values: &values };
        let longest = ByLength::longest(vectors);
        let allows = |item: u32| !item.is_multiple_of(3);
        let wanted = Wanted { k: 5, keep: 20, most: ITEMS };
        for of in 0..50 {
            let query = vectors.row(of * 100);
            let mut found = Vec::new();
            assert!(longest.scan(query, wanted, &allows, &mut found), "{of}");
            found.iter_mut().for_each(|s| s.score = dot(query, vectors.row(s.idx)));
            keep_top(&mut found, 5);

            let score = |idx| Scored { idx, score: dot(query, vectors.row(idx)) };
            let mut exact: Vec<Scored> =
                (0..ITEMS as u32).filter(|&item| allows(item)).map(score).collect();
            keep_top(&mut exact, 5);
            assert_eq!(found, exact, "{of}");
        }
    }

    #[test]
    fn what_could_be_among_the_best_is_offered_to_a_search() {
        let values = values(0.998);
        let vectors = Vectors { dimensions: DIMENSIONS, values: &values };
        let items: Vec<u32> = (0..ITEMS as u32).rev().collect();
        let side = ByLength::of(&items, vectors);
        let query = vectors.row(3);
        let mut search = SearchState::default();
        search.begin(ITEMS);
        side.offer_to(&mut search, query, 20, &|item| item != 3);

        let mut exact: Vec<Scored> = (0..ITEMS as u32)
            .filter(|&idx| idx != 3)
            .map(|idx| Scored { idx, score: dot(query, vectors.row(idx)) })
            .collect();
        keep_top(&mut exact, 5);
        let found: Vec<u32> = search.best().iter().take(5).map(|s| s.idx).collect();
        assert_eq!(found, exact.iter().map(|s| s.idx).collect::<Vec<_>>());
    }

    #[test]
    fn items_without_a_vector_have_no_length() {
        let mut values = values(0.998);
        values[DIMENSIONS * ITEMS / 10..].fill(0.0);
        let longest = ByLength::longest(Vectors { dimensions: DIMENSIONS, values: &values });
        assert_eq!(longest.items.len(), ITEMS / 10 / SHARE);
    }

    #[test]
    fn of_vectors_alike_in_length_none_are_kept() {
        let values = values(1.0);
        let longest = ByLength::longest(Vectors { dimensions: DIMENSIONS, values: &values[..800] });
        assert!(longest.items.is_empty());
    }

    #[test]
    fn a_scan_with_too_little_room_is_not_whole() {
        let values = values(0.9999);
        let vectors = Vectors { dimensions: DIMENSIONS, values: &values };
        let mut found = Vec::new();
        let longest = ByLength::longest(vectors);
        let wanted = Wanted { k: 10, keep: 10, most: 256 };
        assert!(!longest.scan(vectors.row(0), wanted, &|_| true, &mut found));
        assert_eq!(found.len(), 10);
    }
}
