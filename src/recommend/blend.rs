//! One score from several sources: each source's scores are scaled to a
//! maximum of 1, weighted and summed; an item that a source does not propose
//! gets that source's minimum, 0.

use super::{Query, Recommended, Scratch, sources};
use crate::model::settings::BlendSettings;
use crate::model::{Snapshot, Source};

impl BlendSettings {
    /// The sources that take part, with their weights.
    pub fn sources(&self) -> impl Iterator<Item = (Source, f32)> {
        [
            (Source::ItemCf, self.item_cf),
            (Source::UserCf, self.user_cf),
            (Source::Embedding, self.embedding),
            (Source::Popular, self.popular),
        ]
        .into_iter()
        .filter(|(_, weight)| *weight > 0.0)
    }
}

/// The best items of all sources together.
pub(super) fn blend(
    snapshot: &Snapshot,
    query: &Query<'_>,
    scratch: &mut Scratch,
) -> Vec<Recommended> {
    let settings = &snapshot.manifest.settings.blend;
    let depth = settings.candidates.max(query.limit);
    for (source, weight) in settings.sources() {
        sources::propose(snapshot, source, query, depth, scratch);
        add(source, weight, scratch);
    }
    let Scratch { blended, lead, candidates, .. } = scratch;
    blended.drain_top(query.limit, |_| true, candidates);
    candidates
        .iter()
        .map(|s| Recommended { item: s.idx, score: s.score, source: lead[s.idx as usize].1 })
        .collect()
}

/// The best items of one source, with its own scores.
pub(super) fn single(
    snapshot: &Snapshot,
    source: Source,
    query: &Query<'_>,
    scratch: &mut Scratch,
) -> Vec<Recommended> {
    sources::propose(snapshot, source, query, query.limit, scratch);
    let best = scratch.candidates.iter();
    best.map(|s| Recommended { item: s.idx, score: s.score, source }).collect()
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
