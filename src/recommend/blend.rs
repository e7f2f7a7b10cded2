//! The blend: each source's scores are scaled to a maximum of 1, weighted and summed; an item that
//! a source does not propose gets that source's minimum, 0. Where the snapshot has a second stage,
//! it reorders the best `STAGE_DEPTH`.

use super::features;
use super::list::Recommended;
use crate::domain::ItemIdx;
use crate::domain::topk::Scored;
use crate::model::popularity::is_rare;
use crate::model::second_stage::Features;
use crate::model::{Popularity, Snapshot, Source};
use crate::rules::ItemSet;
use crate::sources::scratch::Accumulator;
use crate::sources::{self, FunnelStage, Query, Scratch};

/// Candidates that the second stage reorders: 120.
const STAGE_DEPTH: usize = 120;

/// The best items of all sources together.
pub(super) fn blend(
    snapshot: &Snapshot,
    query: &Query<'_>,
    scratch: &mut Scratch,
) -> Vec<Recommended> {
    let stage = query.second_stage(snapshot).filter(|_| !query.hurried);
    let mut best = Vec::new();
    if let Some(stage) = stage {
        second_stage_rows(snapshot, query, scratch, &mut best);
        reorder(&mut best, &stage.scores(&scratch.rows), &snapshot.parts.popularity);
        if query.shelf.steering().is_none() {
            best.truncate(query.depth());
        }
        query.watch.end(FunnelStage::Rerank, || best.len());
        // Trees return log-odds; lists have scores above 0.
        best.iter_mut().for_each(|s| s.score = 1.0 / (1.0 + (-s.score).exp()));
    } else {
        weighted(snapshot, query, query.depth(), scratch, &mut best);
    }

    let lead = &scratch.lead;
    best.iter()
        .map(|s| Recommended { item: s.idx, score: s.score, source: lead[s.idx as usize].1 })
        .collect()
}

/// The rare items among content's candidates for the list that was just blended, best first.
pub(super) fn rare_by_content<'s>(
    snapshot: &'s Snapshot,
    scratch: &'s Scratch,
) -> impl Iterator<Item = ItemIdx> + use<'s> {
    let buyers = &snapshot.parts.popularity.all_time.by_item;
    let of_content = Source::BLENDED.iter().position(|source| *source == Source::Content);
    let proposed = of_content.map_or(&[][..], |at| &scratch.lists[at]);
    proposed.iter().map(|s| s.idx).filter(|&item| is_rare(buyers, item))
}

/// Orders candidates by the second stage's scores. A rare item, of which trees know nothing, keeps
/// the place that the blend gave it, with the score of the item before.
fn reorder(best: &mut [Scored], scores: &[f32], popularity: &Popularity) {
    let buyers = &popularity.all_time.by_item;
    let known = best.iter().zip(scores).filter(|(s, _)| !is_rare(buyers, s.idx));
    let mut known: Vec<Scored> = known.map(|(s, &score)| Scored { idx: s.idx, score }).collect();
    known.sort_unstable_by(Scored::best_first);

    let mut next = known.into_iter().peekable();
    let mut before = next.peek().map_or(0.0, |first| first.score);
    for place in best.iter_mut() {
        if !is_rare(buyers, place.idx)
            && let Some(known) = next.next()
        {
            *place = known;
            before = known.score;
        } else {
            place.score = before;
        }
    }
}

/// The second stage's input: the candidates, best blended first, into `best`, and their features
/// into `scratch.rows`.
pub(super) fn second_stage_rows<'s>(
    snapshot: &Snapshot,
    query: &Query<'_>,
    scratch: &'s mut Scratch,
    best: &mut Vec<Scored>,
) -> &'s [Features] {
    weighted(snapshot, query, STAGE_DEPTH.max(query.depth()), scratch, best);
    features::rows(snapshot, query, best, scratch);
    &scratch.rows
}

/// The best items of one source, with its own scores.
pub(super) fn single(
    snapshot: &Snapshot,
    source: Source,
    query: &Query<'_>,
    scratch: &mut Scratch,
) -> Vec<Recommended> {
    sources::propose(snapshot, source, query, query.depth(), scratch);
    query.watch.end(FunnelStage::Retrieve(source), || scratch.candidates.len());
    let best = scratch.candidates.iter();
    best.map(|s| Recommended { item: s.idx, score: s.score, source }).collect()
}

/// The best `depth` by the weighted sum, into `best`; leaves each source's
/// candidates in `scratch.lists`.
fn weighted(
    snapshot: &Snapshot,
    query: &Query<'_>,
    depth: usize,
    scratch: &mut Scratch,
    best: &mut Vec<Scored>,
) {
    let settings = query.blend(snapshot);
    for (at, source) in Source::BLENDED.into_iter().enumerate() {
        let weight = settings.weight(source);
        scratch.lists[at].clear();
        if weight > 0.0 {
            let k = settings.candidates.max(query.depth());
            sources::propose(snapshot, source, query, k, scratch);
            add(source, weight, scratch);
            query.watch.end(FunnelStage::Retrieve(source), || scratch.candidates.len());
            std::mem::swap(&mut scratch.lists[at], &mut scratch.candidates);
        }
    }

    let raised = raised(query, &scratch.blended);
    scratch.blended.drain_top(depth, |_| true, best);
    for candidate in raised {
        // Most are among the best already; the others rank below them.
        if best.iter().all(|listed| listed.idx != candidate.idx) {
            best.push(candidate);
        }
    }
    query.watch.end(FunnelStage::Blend, || best.len());
}

/// The best candidates of those that rules may bring into the list.
fn raised(query: &Query<'_>, blended: &Accumulator) -> Vec<Scored> {
    let Some(rules) = query.shelf.steering() else { return Vec::new() };
    let of_set = |items: &ItemSet| match items {
        ItemSet::Few(items) => blended.best_among(query.limit, items.iter()),
        ItemSet::Many(mask) => {
            blended.best_among(query.limit, blended.ids().filter(|&idx| mask.allows(idx)))
        }
    };
    let mut raised: Vec<Scored> = rules.raised().flat_map(of_set).collect();
    raised.sort_unstable_by(Scored::best_first);
    raised.dedup_by_key(|s| s.idx);
    raised
}

/// Adds the candidates of one source.
fn add(source: Source, weight: f32, scratch: &mut Scratch) {
    let Scratch { blended, lead, candidates, .. } = scratch;
    let Some(best) = candidates.first() else { return };
    let scale = weight / best.score;
    let len = candidates.iter().map(|s| s.idx as usize + 1).max().unwrap_or(0);
    blended.reserve(len);

    if lead.len() < len {
        lead.resize(len, (0.0, source));
    }

    for candidate in candidates.iter() {
        let part = candidate.score * scale;
        let lead = &mut lead[candidate.idx as usize];
        if !blended.holds(candidate.idx) || part > lead.0 {
            *lead = (part, source);
        }
        blended.add(candidate.idx, part);
    }
}
