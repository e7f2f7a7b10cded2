//! Sources that read the order of the shopper's events.

use crate::domain::ItemIdx;
use crate::matrix::weight::kind_weight;
use crate::model::Snapshot;
use crate::recommend::{Query, Scratch};

/// Matches further back than this say nothing of what comes next.
const MATCH_REACH: f32 = 10.0;
/// Steps further back than this say nothing of what follows.
const STEPS_BACK: usize = 10;

/// VMIS-kNN (Kersbergen, Sprangers and Schelter, SIGMOD 2022): the sessions most
/// similar to the newest items vote for what they hold.
///
/// An item at place p of L, counted from the oldest, weighs p / L; a session's
/// similarity is the sum over the items it shares; its vote counts
/// max(0, 1 − r / 10), r being how far back the newest shared item lies, and each
/// item its idf.
pub(super) fn session(snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
    let settings = &query.settings(snapshot).session;
    let model = &snapshot.parts.sessions;
    let newest = newest_items(query, settings.items, scratch);
    let Scratch { items, users: sessions, mask, candidates, .. } = scratch;
    sessions.reserve(model.items.rows());
    items.reserve(model.items.width);
    let len = newest.len() as f32;
    model.newest.fetch(newest.iter().copied());

    for (back, &item) in newest.iter().enumerate() {
        let weight = (len - back as f32) / len;
        for (session, _) in model.newest.pairs(item as usize) {
            sessions.add(session, weight);
        }
    }

    sessions.drain_top(settings.neighbours, |_| true, candidates);
    model.items.fetch(candidates.iter().map(|neighbour| neighbour.idx));
    for neighbour in candidates.drain(..) {
        let (held, _) = model.items.row(neighbour.idx as usize);
        let shared = newest.iter().position(|item| held.contains(item)).unwrap_or(0);
        let vote = (1.0 - shared as f32 / MATCH_REACH).max(0.0) * neighbour.score;
        for &item in held {
            items.add(item, vote * model.idf[item as usize]);
        }
    }
    items.drain_top(k, |item| mask.allows(item), candidates);
}

/// score_j = Σ over the newest baskets, or items on their own, of
/// decay^(steps back) · Σ over their items i of T_ij.
pub(super) fn transition(snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
    let settings = &query.settings(snapshot).transition;
    let table = &snapshot.parts.transition;
    query.events(scratch);
    let Scratch { events, items, mask, candidates, .. } = scratch;
    items.reserve(table.width);
    let mut weight = 1.0;
    events.retain(|e| kind_weight(e.kind) > 0.0);

    // Items of the running session come one by one.
    let mut steps =
        events.chunk_by(|a, b| a.moment() == b.moment() && b.time_ms != query.shelf.now_ms);

    for _ in 0..STEPS_BACK {
        let Some(basket) = steps.next_back() else { break };
        for event in basket {
            for (next, score) in table.pairs(event.item as usize) {
                items.add(next, weight * score);
            }
        }
        weight *= settings.decay;
    }
    items.drain_top(k, |item| mask.allows(item), candidates);
}

/// The newest distinct items, newest first.
fn newest_items(query: &Query<'_>, max: usize, scratch: &mut Scratch) -> Vec<ItemIdx> {
    query.events(scratch);
    let mut newest: Vec<ItemIdx> = Vec::with_capacity(max);
    for event in scratch.events.iter().rev().filter(|e| kind_weight(e.kind) > 0.0) {
        if newest.len() == max {
            break;
        }
        if !newest.contains(&event.item) {
            newest.push(event.item);
        }
    }
    newest
}
