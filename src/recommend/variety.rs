//! Variety: a list whose items differ, of the best candidates.
//!
//! - MMR (Carbonell and Goldstein, SIGIR 1998): the next item is the one with the largest
//!   λ · relevance − (1 − λ) · (largest likeness to one chosen before).
//! - DPP: the greedy most probable set of a determinantal point process with the kernel
//!   L_ij = q_i S_ij q_j, q_i = exp(λ / (2 (1 − λ)) · relevance), by Chen, Zhang and Zhou
//!   (NeurIPS 2018).
//!
//! Caps on items of a brand, of a category and of a group hold for the whole list.

use std::collections::HashMap;

use super::list::Recommended;
use crate::content::corpus::cosine;
use crate::domain::ItemIdx;
use crate::domain::kernels::dot;
use crate::live::Catalogue;
use crate::model::{Snapshot, Source};
use crate::sources::query::{Diversifier, Likeness, Variety};

/// Diagonal of the kernel below which a candidate adds nothing that is not there already.
const EXHAUSTED: f32 = 1e-6;
/// Largest λ of a DPP: at 1 only relevance would count, without bound.
const MAX_LAMBDA: f32 = 0.99;

/// Counts the items of each brand, category and group of a list.
pub(super) struct Caps<'a> {
    variety: Option<&'a Variety>,
    catalogue: &'a Catalogue,
    counts: HashMap<(u8, &'a str), usize>,
}

impl<'a> Caps<'a> {
    pub(super) fn new(variety: Option<&'a Variety>, catalogue: &'a Catalogue) -> Self {
        Self { variety, catalogue, counts: HashMap::new() }
    }

    /// What of an item is counted, each with its maximum.
    fn counted(&self, item: ItemIdx) -> impl Iterator<Item = ((u8, &'a str), usize)> + use<'a> {
        let both = self.variety.zip(self.catalogue.get(item));
        both.into_iter().flat_map(|(variety, item)| {
            let category = item.categories.first().map_or("", String::as_str);
            let one = usize::from(variety.one_of_group);
            [
                ((0, item.brand.as_str()), variety.max_of_brand),
                ((1, category), variety.max_of_category),
                ((2, item.group_id.as_str()), one),
            ]
            .into_iter()
            .filter(|((_, name), max)| *max > 0 && !name.is_empty())
        })
    }

    /// Whether the list has room for an item.
    pub(super) fn has_room(&self, item: ItemIdx) -> bool {
        let is_full = |(key, max)| self.counts.get(&key).is_some_and(|count| *count >= max);
        !self.counted(item).any(is_full)
    }

    /// Whether the list has room for an item; counts it then.
    pub(super) fn admit(&mut self, item: ItemIdx) -> bool {
        if !self.has_room(item) {
            return false;
        }
        for (key, _) in self.counted(item) {
            *self.counts.entry(key).or_default() += 1;
        }
        true
    }
}

/// The items of `candidates`, best first, that make a list of at most `limit` with variety.
pub(super) fn select(
    snapshot: &Snapshot,
    variety: &Variety,
    candidates: &[Recommended],
    limit: usize,
    caps: &mut Caps<'_>,
) -> Vec<Recommended> {
    let like = Alike::new(snapshot, caps.catalogue, variety.likeness, candidates);
    let best = candidates.iter().map(|c| c.score).fold(f32::MIN_POSITIVE, f32::max);
    let relevance: Vec<f32> = candidates.iter().map(|c| c.score / best).collect();
    let order = match variety.by {
        Diversifier::Mmr => mmr(candidates, &relevance, variety.lambda, &like, limit, caps),
        Diversifier::Dpp => dpp(candidates, &relevance, variety.lambda, &like, limit, caps),
    };
    order.into_iter().map(|at| candidates[at]).collect()
}

/// The mean likeness of two items of a list, from 0 to 1; 0 of a list with fewer than two.
pub fn mean_likeness(
    snapshot: &Snapshot,
    catalogue: &Catalogue,
    by: Likeness,
    items: &[ItemIdx],
) -> f64 {
    let listed = |&item: &ItemIdx| Recommended { item, score: 1.0, source: Source::Popular };
    let items: Vec<Recommended> = items.iter().map(listed).collect();
    let like = Alike::new(snapshot, catalogue, by, &items);

    let pairs = (0..items.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
    let (sum, count) = pairs.fold((0.0, 0), |(sum, count), (one, other)| {
        (sum + f64::from(like.of(one, other)), count + 1)
    });
    sum / f64::from(count.max(1))
}

/// How alike two items are, from 0 to 1.
struct Alike<'a> {
    candidates: &'a [Recommended],
    catalogue: &'a Catalogue,
    /// The embedding of each candidate and its length, where it has one and behaviour counts.
    embedded: Vec<Option<(&'a [f32], f32)>>,
}

impl<'a> Alike<'a> {
    fn new(
        snapshot: &'a Snapshot,
        catalogue: &'a Catalogue,
        by: Likeness,
        candidates: &'a [Recommended],
    ) -> Self {
        let embeddings = &snapshot.parts.embeddings;
        let embedded = |candidate: &Recommended| {
            let has = by == Likeness::Behaviour && embeddings.has(candidate.item);
            has.then(|| embeddings.vector(candidate.item)).map(|v| (v, dot(v, v).sqrt()))
        };
        Self { candidates, catalogue, embedded: candidates.iter().map(embedded).collect() }
    }

    /// How alike two candidates are, by their places.
    fn of(&self, one: usize, other: usize) -> f32 {
        if let (Some((a, a_length)), Some((b, b_length))) =
            (self.embedded[one], self.embedded[other])
        {
            return (dot(a, b) / (a_length * b_length)).clamp(0.0, 1.0);
        }
        let corpus = self.catalogue.corpus();
        let document = |at: usize| corpus.document(self.candidates[at].item);
        match (document(one), document(other)) {
            (Some(one), Some(other)) => cosine(one, other),
            _ => 0.0,
        }
    }
}

fn mmr(
    candidates: &[Recommended],
    relevance: &[f32],
    lambda: f32,
    like: &Alike<'_>,
    limit: usize,
    caps: &mut Caps<'_>,
) -> Vec<usize> {
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut nearest = vec![0.0f32; candidates.len()];
    let mut chosen = Vec::with_capacity(limit);

    while chosen.len() < limit {
        let gain = |&at: &usize| lambda * relevance[at] - (1.0 - lambda) * nearest[at];
        let next = left
            .iter()
            .enumerate()
            .reduce(|best, next| if gain(next.1) > gain(best.1) { next } else { best });
        let Some((place, &at)) = next else { break };

        left.remove(place);
        if !caps.admit(candidates[at].item) {
            continue;
        }
        chosen.push(at);
        for &other in &left {
            let alike = like.of(at, other);
            nearest[other] = nearest[other].max(alike);
        }
    }
    chosen
}

fn dpp(
    candidates: &[Recommended],
    relevance: &[f32],
    lambda: f32,
    like: &Alike<'_>,
    limit: usize,
    caps: &mut Caps<'_>,
) -> Vec<usize> {
    let lambda = lambda.min(MAX_LAMBDA);
    let alpha = lambda / (2.0 * (1.0 - lambda));
    let quality: Vec<f32> = relevance.iter().map(|r| (alpha * (r - 1.0)).exp()).collect();
    let mut gains: Vec<f32> = quality.iter().map(|q| q * q).collect();
    let mut rows: Vec<Vec<f32>> = vec![Vec::with_capacity(limit); candidates.len()];
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut chosen = Vec::with_capacity(limit);
    while chosen.len() < limit {
        let next = left
            .iter()
            .enumerate()
            .reduce(|best, next| if gains[*next.1] > gains[*best.1] { next } else { best });
        let Some((place, &at)) = next.filter(|(_, at)| gains[**at] > EXHAUSTED) else { break };
        left.remove(place);
        if !caps.admit(candidates[at].item) {
            continue;
        }

        chosen.push(at);
        let own = rows[at].clone();
        let root = gains[at].sqrt();
        for &other in &left {
            let alike = like.of(at, other);
            let kernel = quality[at] * quality[other] * alike;
            let part = (kernel - dot(&own, &rows[other])) / root;
            rows[other].push(part);
            gains[other] -= part * part;
        }
    }

    // Copies of what is there already: by relevance.
    for at in left {
        if chosen.len() < limit && !chosen.contains(&at) && caps.admit(candidates[at].item) {
            chosen.push(at);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{Document, Words};
    use crate::domain::Item;
    use crate::model::{Embeddings, Manifest, Parts};

    /// Three pairs of items, alike within a pair.
    fn snapshot() -> Snapshot {
        let vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let vectors: Vec<f32> = vectors.iter().flat_map(|v| [*v, *v]).flatten().collect();
        let embeddings =
            Embeddings { dimensions: 3, vectors, fold_in: vec![1.0; 6], ..Default::default() };
        let parts = Parts { embeddings: embeddings.into(), ..Parts::default() };
        Snapshot { manifest: Manifest::default(), parts }
    }

    fn catalogue() -> Catalogue {
        let mut catalogue = Catalogue::default();
        for idx in 0..6u32 {
            let item = Item {
                brand: if idx < 4 { "A".into() } else { "B".into() },
                group_id: format!("g{}", idx / 2),
                ..Item::default()
            };
            catalogue.upsert(idx, &item, Some(Document::of(&item, &Words::default())));
        }
        catalogue
    }

    fn list(variety: Variety, limit: usize) -> Vec<ItemIdx> {
        let candidate =
            |item| Recommended { item, score: 1.0 - item as f32 * 0.1, source: Source::ItemCf };
        let candidates: Vec<Recommended> = (0..6).map(candidate).collect();
        let catalogue = catalogue();
        let mut caps = Caps::new(Some(&variety), &catalogue);
        let chosen = select(&snapshot(), &variety, &candidates, limit, &mut caps);
        chosen.iter().map(|r| r.item).collect()
    }

    #[test]
    fn relevance_alone_changes_nothing_and_variety_takes_one_of_each_pair_first() {
        for by in [Diversifier::Mmr, Diversifier::Dpp] {
            let variety = Variety { by, lambda: 1.0, ..Variety::default() };
            assert_eq!(list(variety, 3), [0, 1, 2], "{by:?}");
            let variety = Variety { lambda: 0.4, ..variety };
            assert_eq!(list(variety, 3), [0, 2, 4], "{by:?}");
            let mut all = list(variety, 6);
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4, 5], "{by:?}");
        }
    }

    #[test]
    fn caps_hold_for_the_whole_list() {
        let variety = Variety { lambda: 1.0, ..Variety::default() };
        assert_eq!(list(Variety { max_of_brand: 1, ..variety }, 6), [0, 4]);
        assert_eq!(list(Variety { one_of_group: true, ..variety }, 6), [0, 2, 4]);
        assert_eq!(list(Variety { max_of_category: 1, ..variety }, 6), [0, 1, 2, 3, 4, 5]);
    }
}
