//! The candidate sources. Each writes its best allowed items, best first, with
//! scores above 0, into `scratch.candidates`.
//!
//! - [`collaborative`]: item CF, user CF, EASE, embeddings: from the shopper's row
//! - [`repeat`]: from the shopper's baskets
//! - [`sequence`]: sessions and transitions: from the order of the shopper's events
//! - [`pushed`]: what was trained elsewhere

mod collaborative;
mod pushed;
mod repeat;
mod sequence;

pub(super) use collaborative::{nearest, similar_users};

use super::{Query, Scratch};
use crate::model::{Ranking, Snapshot, Source};

/// Runs one source for its best `k`.
pub(super) fn propose(
    snapshot: &Snapshot,
    source: Source,
    query: &Query<'_>,
    k: usize,
    scratch: &mut Scratch,
) {
    let settings = query.settings(snapshot);
    match source {
        Source::ItemCf => {
            query.profile(settings.item_cf.profile(), scratch);
            collaborative::linear(&snapshot.parts.item_cf, k, scratch);
        }
        Source::UserCf => {
            query.profile(settings.user_cf.profile(), scratch);
            collaborative::user_cf(snapshot, query, k, scratch);
        }
        Source::Ease => {
            query.profile(settings.ease.profile(), scratch);
            collaborative::linear(&snapshot.parts.ease, k, scratch);
        }
        Source::Embedding => {
            query.profile(settings.embedding.profile(), scratch);
            collaborative::embedding(snapshot, query, k, scratch);
        }
        Source::Repeat => repeat::repeat(snapshot, query, k, scratch),
        Source::Session => sequence::session(snapshot, query, k, scratch),
        Source::Transition => sequence::transition(snapshot, query, k, scratch),
        Source::Popular => ranked(&snapshot.parts.popularity.trending, k, scratch),
        Source::PushedEmbedding | Source::PushedItems | Source::PushedUsers => {
            // The shopper's events fade as they do for user CF: how they should for a model
            // that was trained elsewhere nobody says.
            query.profile(settings.user_cf.profile(), scratch);
            pushed::propose(snapshot, source, query, k, scratch);
        }
        Source::PushedPrior => ranked(&snapshot.parts.pushed.priors, k, scratch),
        // Not sources of the blend: they come in where a list is filled or asked for by name.
        Source::Catalog
        | Source::BoughtTogether
        | Source::Fresh
        | Source::Content
        | Source::Category => scratch.candidates.clear(),
    }
}

/// The best of a ranking that may be offered, the same for everyone.
fn ranked(ranking: &Ranking, k: usize, scratch: &mut Scratch) {
    let Scratch { mask, candidates, .. } = scratch;
    candidates.clear();
    candidates.extend(ranking.iter().filter(|s| mask.allows(s.idx)).take(k));
}
