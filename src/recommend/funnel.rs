//! The funnel: named stages, in order, from a query to a list.

use super::list::{Basis, List, Origin, Recommended};
use super::reasons::After;
use super::room::{Room, Roomed, alternated};
use super::rules::Steering;
use super::variety::Caps;
use super::{
    basis, blend, cold, exploration, fill, fresh, prepared, reasons, rules, variety, weigh,
};
use crate::domain::ItemIdx;
use crate::domain::topk::Scored;
use crate::model::second_stage::Features;
use crate::model::{Snapshot, Source};
use crate::sources::{self, FunnelStage, Query, Scratch};

/// The best `k` candidates of one source, with its own scores, best first: the tuner fits weights
/// to them.
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

/// The second stage's input: the blend's best candidates and their features.
pub fn second_stage_rows(
    snapshot: &Snapshot,
    query: &Query<'_>,
    scratch: &mut Scratch,
) -> Vec<(ItemIdx, Features)> {
    query.shelf.mask(&mut scratch.mask);
    query.exclude(snapshot, scratch);
    let mut best = Vec::new();
    let rows = blend::second_stage_rows(snapshot, query, scratch, &mut best);
    best.iter().map(|s| s.idx).zip(rows.iter().copied()).collect()
}

/// The best list for a query: a prepared one if it still holds, otherwise the candidates of every
/// source, blended, merged with fresh pairs, and filled up to the limit while the shelf has items.
/// Filters apply before the list is cut.
pub fn recommend(snapshot: &Snapshot, query: &Query<'_>, scratch: &mut Scratch) -> List {
    if let Some(list) = prepared_list(snapshot, query, scratch) {
        return list;
    }
    if query.shelf.steering().is_some() {
        // A prepared list that rules do not leave as it is has taken fresh items off.
        query.shelf.mask(&mut scratch.mask);
    }

    scratch.neighbours.clear();
    query.exclude(snapshot, scratch);
    query.watch.end(FunnelStage::Restrict, || scratch.mask.count());
    let known = basis::of(snapshot, query, scratch);
    let (mut items, rare) = retrieve(snapshot, query, known, scratch);
    let origin = match query.strategy {
        _ if known == Basis::Popular => Origin::Cold,
        Some(_) => Origin::Single,
        None => Origin::Blended,
    };
    let is_blended = origin == Origin::Blended;

    let mut basis = if items.is_empty() { known } else { basis::own(query, known) };
    let mut cohort = String::new();
    if basis == Basis::Popular {
        cohort = cold::taken_now(snapshot, query, &mut items, scratch);
        query.watch.end(FunnelStage::Cold, || items.len());
        basis = if cohort.is_empty() { basis } else { Basis::Attributes };
    }

    let (faded, weighed) = weigh(query, &mut items);
    let steering = boost(snapshot, query, &mut items, scratch);
    let mut caps = Caps::new(query.variety, query.shelf.catalogue);
    let mut made = choose(snapshot, query, &mut items, rare, &mut caps, scratch);

    let rankings = [&snapshot.parts.popularity.trending, &snapshot.parts.popularity.all_time];
    let mask = &mut scratch.mask;
    fill::fill_admitted(&mut items, query.limit, rankings, mask, |item| caps.admit(item));
    query.watch.end(FunnelStage::Fill, || items.len());

    let steered = steering.map(|steering| {
        let chosen: Vec<ItemIdx> = items.iter().map(|item| item.item).collect();
        let (steered, _) = steering.place(&mut items, query.limit, &scratch.mask, query.explain);
        made.follow(&chosen, &items);
        query.watch.end(FunnelStage::Place, || steered.moved.len());
        steered
    });

    let reasons = if query.explain {
        let after = After {
            faded: &faded,
            weighed: &weighed,
            varied: &made.parts,
            roomed: &made.roomed,
            steered: steered.as_ref(),
        };
        reasons::explain(snapshot, query, &items, is_blended, after, scratch)
    } else {
        Vec::new()
    };
    query.watch.end(FunnelStage::Reasons, || reasons.len());
    let reduced = query.hurried && is_blended && query.second_stage(snapshot).is_some();
    let propensities = made.propensities;
    List { items, basis, origin, reduced, cohort, reasons, propensities, steered }
}

/// What the user is tired of loses, and what the list is for counts; returns what each does to scores.
fn weigh(query: &Query<'_>, items: &mut [Recommended]) -> (Weighed, Weighed) {
    let tired = |item| query.tired_of.iter().find(|(of, _)| *of == item).map(|(_, factor)| *factor);
    let faded = if query.tired_of.is_empty() { Vec::new() } else { weigh::weigh(items, tired) };
    let Some(worth) = query.worth else { return (faded, Vec::new()) };
    let weighed = weigh::weigh(items, |item| Some(worth.of(item, query.shelf.catalogue)));
    (faded, weighed)
}

/// The candidates of the sources, best first, with what is newer than the snapshot; and the rare items
/// that content proposes, for the places that are theirs.
fn retrieve(
    snapshot: &Snapshot,
    query: &Query<'_>,
    known: Basis,
    scratch: &mut Scratch,
) -> (Vec<Recommended>, Vec<ItemIdx>) {
    let mut items = match query.strategy {
        _ if known == Basis::Popular => Vec::new(),
        Some(source) => blend::single(snapshot, source, query, scratch),
        None => blend::blend(snapshot, query, scratch),
    };
    if query.strategy.is_some() {
        return (items, Vec::new());
    }

    let has_room = known != Basis::Popular && Room::in_list(snapshot, query).of(query.limit) > 0;
    if known == Basis::Popular {
        cold::alike_to_newest(query, scratch);
        let alike = scratch.candidates.iter();
        let source = Source::Content;
        items.extend(alike.map(|s| Recommended { item: s.idx, score: s.score, source }));
        query.watch.end(FunnelStage::Cold, || items.len());
    }

    // Rules may bring in what ranks last.
    let most = if query.shelf.steering().is_some() { usize::MAX } else { query.depth() };
    fresh::merge(&mut items, query.fresh, Source::Fresh, most, &mut scratch.mask);
    let mut new = cold::newcomers_of(snapshot, query, scratch);
    new.retain(|s| scratch.mask.allows(s.idx));
    fresh::merge(&mut items, &new, Source::Content, most, &mut scratch.mask);
    let rare = if has_room {
        let new = new.into_iter().map(|s| s.idx);
        alternated(new, blend::rare_by_content(snapshot, scratch))
    } else {
        Vec::new()
    };
    query.watch.end(FunnelStage::Fresh, || items.len());
    (items, rare)
}

/// Lets rules multiply the scores of the candidates, where any moves items.
fn boost<'q>(
    snapshot: &Snapshot,
    query: &'q Query<'_>,
    items: &mut Vec<Recommended>,
    scratch: &Scratch,
) -> Option<Steering<'q>> {
    let rules = query.shelf.steering()?;
    let popularity = &snapshot.parts.popularity;
    let lengths = (query.limit, query.depth());
    rules::deepen(rules, items, lengths, popularity, &scratch.mask);
    let steering = Steering::boost(rules, items, query.shelf.shown_before);
    query.watch.end(FunnelStage::Boost, || items.len());
    Some(steering)
}

/// What items gain or lose.
type Weighed = Vec<(ItemIdx, f32)>;

/// What variety, and room for rare items, did to a list.
#[derive(Default)]
struct Chosen {
    /// What it takes from the score of each item; items after its end lose nothing.
    parts: Vec<f32>,
    /// The propensity of each item; empty where nothing was drawn by chance.
    propensities: Vec<f32>,
    /// Items at places that are for rare ones, by room or by chance.
    roomed: Vec<Roomed>,
}

impl Chosen {
    /// Follows items to other places; what comes in loses nothing, and is certain.
    fn follow(&mut self, before: &[ItemIdx], after: &[Recommended]) {
        let from = |of: &[f32], otherwise: f32| -> Vec<f32> {
            let place = |item: &Recommended| before.iter().position(|before| *before == item.item);
            let value = |item| place(item).and_then(|place| of.get(place).copied());
            after.iter().map(|item| value(item).unwrap_or(otherwise)).collect()
        };
        if !self.parts.is_empty() {
            self.parts = from(&self.parts, 0.0);
        }
        if !self.propensities.is_empty() {
            self.propensities = from(&self.propensities, 1.0);
        }
    }
}

/// Chooses the list from the candidates: with variety where the query asks, with room for `rare`
/// items. Scores never rise down the list: an item that others were put before is scored no higher
/// than them.
fn choose(
    snapshot: &Snapshot,
    query: &Query<'_>,
    items: &mut Vec<Recommended>,
    rare: Vec<ItemIdx>,
    caps: &mut Caps<'_>,
    scratch: &Scratch,
) -> Chosen {
    let candidates = match query.variety {
        Some(variety) => {
            let candidates = std::mem::take(items);
            *items = variety::select(snapshot, variety, &candidates, query.limit, caps);
            query.watch.end(FunnelStage::Variety, || items.len());
            candidates
        }
        None => Vec::new(),
    };
    items.truncate(query.limit);

    let roomed = give_room(snapshot, query, items, rare, |item| caps.admit(item));
    let mut chosen = Chosen { roomed, ..Chosen::default() };
    let Some(variety) = query.variety else { return chosen };
    if variety.exploration > 0.0 {
        let (share, roomed) = (variety.exploration, &mut chosen.roomed);
        let places = exploration::Places { list: items, reserve: &candidates, roomed };
        chosen.propensities = exploration::explore(snapshot, query, share, places, caps, scratch);
        query.watch.end(FunnelStage::Exploration, || items.len());
    }

    let mut lowest = f32::INFINITY;
    for item in items.iter_mut() {
        let before = item.score;
        item.score = before.min(lowest);
        lowest = item.score;
        chosen.parts.push(item.score - before);
    }
    chosen
}

/// Gives the places that are for rare items to those that neither fatigue nor a rule takes down.
fn give_room(
    snapshot: &Snapshot,
    query: &Query<'_>,
    items: &mut Vec<Recommended>,
    rare: Vec<ItemIdx>,
    admits: impl FnMut(ItemIdx) -> bool,
) -> Vec<Roomed> {
    let is_lowered = |item: ItemIdx| {
        let is_tired = query.tired_of.iter().any(|(of, _)| *of == item);
        is_tired || query.shelf.steering().is_some_and(|rules| rules.factor(item) < 1.0)
    };
    let rare = rare.into_iter().filter(|&item| !is_lowered(item));
    let roomed = Room::in_list(snapshot, query).give(items, rare, admits);
    query.watch.end(FunnelStage::Room, || roomed.len());
    roomed
}

/// The prepared list of a query with fresh pairs, if there is one that still holds, whatever rules
/// make of it. Leaves the
/// shelf's mask in the working memory.
pub fn prepared_list(
    snapshot: &Snapshot,
    query: &Query<'_>,
    scratch: &mut Scratch,
) -> Option<List> {
    query.shelf.mask(&mut scratch.mask);
    let (mut items, rare) = prepared::answer(snapshot, query, scratch)?;
    if !query.fresh.is_empty() || query.shelf.steering().is_some() {
        query.exclude(snapshot, scratch);
        let length = items.len();
        fresh::merge(&mut items, query.fresh, Source::Fresh, length, &mut scratch.mask);
    }

    let steering = query
        .shelf
        .steering()
        .map(|rules| Steering::boost(rules, &mut items, query.shelf.shown_before));
    if steering.as_ref().is_some_and(|steering| !steering.is_settled(query.limit)) {
        return None;
    }
    items.truncate(query.limit);
    give_room(snapshot, query, &mut items, rare, |_| true);

    let mut steered = None;
    if let Some(steering) = steering {
        let (done, is_met) = steering.place(&mut items, query.limit, &scratch.mask, false);
        if !is_met {
            return None;
        }
        steered = Some(done);
    }
    query.watch.end(FunnelStage::Prepared, || items.len());
    Some(List {
        items,
        basis: Basis::History,
        origin: Origin::Prepared,
        reduced: false,
        cohort: String::new(),
        reasons: Vec::new(),
        propensities: Vec::new(),
        steered,
    })
}
