//! The funnel: from a snapshot, a shopper's history and the shelf to a list.
//! Pure: no I/O, no lock, no clock, no random numbers; the same arguments give
//! the same list, whoever asks.
//!
//! - [`query`]: what is asked, and what may be offered (the shelf)
//! - [`sources`]: each way to propose candidates
//! - [`cold`]: items and shoppers that the model knows nothing of
//! - [`fresh`]: what was taken together since the model was trained
//! - [`blend`]: one score from several sources
//! - [`features`]: what the second stage is told
//! - [`fill`]: popular items, then the catalogue, where candidates run out
//! - [`prepared`]: lists made ahead, when a snapshot is trained
//! - [`related`]: similar items, bought together, similar users, popular
//! - [`scratch`]: memory that requests reuse

pub mod blend;
mod cold;
pub mod features;
pub mod fill;
mod fresh;
pub mod prepared;
pub mod query;
pub mod related;
pub mod scratch;
pub mod sources;

pub use features::{FEATURES, Features};
pub use prepared::prepare;
pub use query::{Query, RepeatPolicy, Shelf};
pub use related::{bought_together, popular, similar_items, similar_users};
pub use scratch::Scratch;

use crate::domain::ItemIdx;
use crate::domain::topk::Scored;
use crate::model::{Snapshot, Source};

/// An item in a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recommended {
    /// The item.
    pub item: ItemIdx,
    /// Higher is better, within one list.
    pub score: f32,
    /// The source that contributed most.
    pub source: Source,
}

/// What a list was built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The shopper's own history.
    History,
    /// The items of an anonymous session.
    Session,
    /// Nothing known: a popular list.
    Popular,
    /// Nothing known but attributes: what those take now who have the same.
    Attributes,
}

/// A personalised list, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// The items.
    pub items: Vec<Recommended>,
    /// What they were chosen by.
    pub basis: Basis,
    /// Whether the second stage was left out for want of time.
    pub reduced: bool,
    /// With [`Basis::Attributes`]: the narrowest cohort that the list came from.
    pub cohort: String,
}

/// The best `k` candidates of one source, with its own scores, best first: what
/// the tuner fits weights to.
pub fn candidates(
    snapshot: &Snapshot,
    source: Source,
    query: &Query<'_>,
    k: usize,
    scratch: &mut Scratch,
) -> Vec<Scored> {
    query.shelf.mask(&mut scratch.mask);
    query.exclude(snapshot, scratch);
    sources::propose(snapshot, source, query, k, scratch);
    scratch.candidates.clone()
}

/// What the second stage is asked: the blend's best candidates and the features
/// of each.
pub fn stage_rows(
    snapshot: &Snapshot,
    query: &Query<'_>,
    scratch: &mut Scratch,
) -> Vec<(ItemIdx, Features)> {
    query.shelf.mask(&mut scratch.mask);
    query.exclude(snapshot, scratch);
    let mut best = Vec::new();
    let rows = blend::stage_rows(snapshot, query, scratch, &mut best);
    best.iter().map(|s| s.idx).zip(rows.iter().copied()).collect()
}

/// The best list for a shopper: candidates of every source, blended, filtered
/// before they are cut, and filled up to the limit while the shelf has items.
pub fn recommend(snapshot: &Snapshot, query: &Query<'_>, scratch: &mut Scratch) -> List {
    let popularity = &snapshot.parts.popularity;
    query.shelf.mask(&mut scratch.mask);
    if let Some(mut items) = prepared::answer(snapshot, query, scratch) {
        if !query.fresh.is_empty() {
            query.exclude(snapshot, scratch);
            fresh::merge(&mut items, query.fresh, query.limit, &mut scratch.mask);
        }
        return List { items, basis: Basis::History, reduced: false, cohort: String::new() };
    }
    query.exclude(snapshot, scratch);
    let known = query.basis(snapshot, scratch);
    let mut items = match query.strategy {
        _ if known == Basis::Popular => Vec::new(),
        Some(source) => blend::single(snapshot, source, query, scratch),
        None => blend::blend(snapshot, query, scratch),
    };
    if known == Basis::Popular && query.strategy.is_none() {
        cold::alike_to_newest(query, scratch);
        let alike = scratch.candidates.iter();
        let source = Source::Content;
        items.extend(alike.map(|s| Recommended { item: s.idx, score: s.score, source }));
    }
    if query.strategy.is_none() {
        fresh::merge(&mut items, query.fresh, query.limit, &mut scratch.mask);
    }
    let mut basis = if items.is_empty() { known } else { query.own_basis(known) };
    let mut cohort = String::new();
    if basis == Basis::Popular {
        cohort = cold::taken_now(snapshot, query, &mut items, scratch);
        basis = if cohort.is_empty() { basis } else { Basis::Attributes };
    }
    fill::fill(
        &mut items,
        query.limit,
        [&popularity.trending, &popularity.all_time],
        &mut scratch.mask,
    );
    let blended = query.strategy.is_none() && known != Basis::Popular;
    let reduced = query.hurried && blended && !query.second_stage(snapshot).is_empty();
    List { items, basis, reduced, cohort }
}
