//! Reasons: what led to each item of a list, from what the list was made of.
//!
//! The shares of the sources sum to the blend's score. What the second stage, rules and variety add
//! to it or take away are parts of their own, since trees are no sum. The user's events get their
//! parts of the shares by the terms of each source's own sum; sources that are no sum over events
//! (user CF, sessions) are divided by how many users took both items.

use super::list::{Reasons, Recommended, Steered};
use super::room::Roomed;
use crate::domain::kernels::dot;
use crate::domain::{DAY_MS, EventKind, HistoryEvent, ItemIdx};
use crate::matrix::weight::{ProfileWeighting, kind_weight};
use crate::matrix::{Csr, Weighting};
use crate::model::{Embeddings, Snapshot, Source};
use crate::sources::{Query, Scratch};

/// Maximum number of events that are named for an item.
const NAMED: usize = 5;
/// Minimum part of an item's score of an event that is named, relative to the largest.
const MIN_PART: f32 = 0.1;
/// Maximum number of the user's items that are looked at, those of most weight first.
const MAX_ITEMS: usize = 80;

/// What later stages did to the scores of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct After<'a> {
    /// What tired items lose.
    pub(super) faded: &'a [(ItemIdx, f32)],
    /// What the objective gives or takes.
    pub(super) weighed: &'a [(ItemIdx, f32)],
    /// What variety takes from each item's.
    pub(super) varied: &'a [f32],
    /// Items at places that are for rare ones.
    pub(super) roomed: &'a [Roomed],
    /// What rules did.
    pub(super) steered: Option<&'a Steered>,
}

impl After<'_> {
    fn note(&self, at: usize, item: ItemIdx, reasons: &mut Reasons) {
        let part = |of: &[(ItemIdx, f32)]| {
            of.iter().find(|(of, _)| *of == item).map_or(0.0, |(_, part)| *part)
        };
        reasons.fatigue = part(self.faded);
        reasons.objective = part(self.weighed);
        reasons.variety = self.varied.get(at).copied().unwrap_or(0.0);
        let moved = self.steered.map_or(&[][..], |steered| &steered.moved);
        let of_item = moved.iter().filter(|moved| moved.item == item);
        reasons.rules = of_item.map(|moved| (moved.rule, moved.part)).collect();
    }
}

/// The reasons for the items of a blended list that was just made: reads what its sources proposed
/// from the working memory.
pub(super) fn explain(
    snapshot: &Snapshot,
    query: &Query<'_>,
    list: &[Recommended],
    is_blended: bool,
    after: After<'_>,
    scratch: &mut Scratch,
) -> Vec<Reasons> {
    let mut all: Vec<Reasons> = list.iter().map(|_| Reasons::default()).collect();
    let targets: Vec<ItemIdx> = list.iter().map(|item| item.item).collect();
    let places = Places::take(&targets, scratch);
    if is_blended {
        add_shares(snapshot, query, &places, &mut all, scratch);
    }

    for (at, (reasons, item)) in all.iter_mut().zip(list).enumerate() {
        after.note(at, item.item, reasons);
        let roomed = after.roomed.iter().find(|roomed| roomed.item == item.item);
        reasons.room = roomed.and_then(|roomed| roomed.added).unwrap_or(0.0);
        let own = item.score - reasons.after() - reasons.room;
        let merged = !Source::BLENDED.contains(&item.source);
        if merged || reasons.shares.is_empty() {
            // From outside of the blend: its score has no other part.
            reasons.shares = vec![(item.source, own)];
        }
        reasons.shares.sort_by(|a, b| b.1.total_cmp(&a.1));

        let beyond = own - reasons.blend_score();
        match roomed {
            // What came in by its place has no score of its own.
            Some(roomed) if roomed.added.is_none() => reasons.room = beyond,
            _ => reasons.second_stage = beyond,
        }
    }

    add_events(snapshot, query, (&targets, &places), &mut all, scratch);
    add_similar_users(snapshot, &places, &mut all, scratch);
    places.put_back(&targets, scratch);
    add_due(snapshot, query, &targets, &mut all);
    all
}

/// The places of items in a list, by item.
struct Places {
    /// The working memory's slots, to which they return.
    slots: Vec<u32>,
}

impl Places {
    fn take(items: &[ItemIdx], scratch: &mut Scratch) -> Self {
        let mut slots = std::mem::take(&mut scratch.slots);
        let len = items.iter().max().map_or(0, |item| *item as usize + 1);
        if slots.len() < len {
            slots.resize(len, u32::MAX);
        }
        (0..).zip(items).for_each(|(at, &item)| slots[item as usize] = at);
        Self { slots }
    }

    #[inline]
    fn get(&self, item: ItemIdx) -> Option<usize> {
        let slot = self.slots.get(item as usize).copied().filter(|slot| *slot != u32::MAX);
        slot.map(|slot| slot as usize)
    }

    fn put_back(mut self, items: &[ItemIdx], scratch: &mut Scratch) {
        items.iter().for_each(|&item| self.slots[item as usize] = u32::MAX);
        scratch.slots = self.slots;
    }
}

fn add_shares(
    snapshot: &Snapshot,
    query: &Query<'_>,
    places: &Places,
    all: &mut [Reasons],
    scratch: &Scratch,
) {
    let blend = query.blend(snapshot);
    for (source, list) in Source::BLENDED.into_iter().zip(&scratch.lists) {
        let Some(best) = list.first() else { continue };
        let scale = blend.weight(source) / best.score;
        for candidate in list {
            if let Some(at) = places.get(candidate.idx) {
                all[at].shares.push((source, candidate.score * scale));
            }
        }
    }
}

/// The user's items by weight, and the parts of them in every item of the list.
struct Parts<'t> {
    own: Vec<ItemIdx>,
    targets: &'t [ItemIdx],
    places: &'t Places,
    /// Own items × targets.
    parts: Vec<f32>,
}

impl Parts<'_> {
    /// Adds a source's terms, scaled so that they sum to its share of each target.
    fn add(&mut self, share: &[f32], term: impl Fn(usize, &mut [f32])) {
        let width = self.targets.len();
        let mut terms = vec![0.0f32; self.own.len() * width];
        for (own, row) in terms.chunks_exact_mut(width).enumerate() {
            term(own, row);
        }

        let mut sums = vec![0.0f32; width];
        for row in terms.chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, term)| *sum += term.max(0.0));
        }
        for (row, parts) in terms.chunks_exact(width).zip(self.parts.chunks_exact_mut(width)) {
            for (((part, term), sum), share) in parts.iter_mut().zip(row).zip(&sums).zip(share) {
                if *sum > 0.0 && *term > 0.0 {
                    *part += share * term / sum;
                }
            }
        }
    }
}

fn add_events(
    snapshot: &Snapshot,
    query: &Query<'_>,
    (targets, places): (&[ItemIdx], &Places),
    all: &mut [Reasons],
    scratch: &mut Scratch,
) {
    query.profile(Weighting::default(), scratch);
    let mut cells = scratch.profile.clone();
    cells.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(b.last_ms.cmp(&a.last_ms)));
    cells.truncate(MAX_ITEMS);
    let mut own: Vec<ItemIdx> = cells.iter().map(|cell| cell.item).collect();
    own.sort_unstable();
    if own.is_empty() || targets.is_empty() {
        return;
    }

    let parts = vec![0.0; own.len() * targets.len()];
    let mut parts = Parts { own, targets, places, parts };
    for source in query.blend(snapshot).sources() {
        let of = |reasons: &Reasons| {
            reasons.shares.iter().find(|(of, _)| *of == source).map_or(0.0, |share| share.1)
        };
        let share: Vec<f32> = all.iter().map(of).collect();
        if share.iter().any(|share| *share > 0.0) {
            add_source(snapshot, query, source, &share, &mut parts, scratch);
        }
    }

    let newest = newest_events(query, &parts.own);
    for (at, reasons) in all.iter_mut().enumerate() {
        let of_item = parts.parts.iter().skip(at).step_by(targets.len());
        let mut led: Vec<(HistoryEvent, f32)> = newest
            .iter()
            .zip(of_item)
            .filter_map(|(event, part)| Some(((*event)?, *part)))
            .filter(|(_, part)| *part > 0.0)
            .collect();
        led.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.item.cmp(&b.0.item)));
        let least = led.first().map_or(0.0, |first| first.1 * MIN_PART);
        led.retain(|(_, part)| *part >= least);
        led.truncate(NAMED);
        reasons.led_by = led;
    }
}

/// Adds the parts of one source's share.
fn add_source(
    snapshot: &Snapshot,
    query: &Query<'_>,
    source: Source,
    share: &[f32],
    parts: &mut Parts<'_>,
    scratch: &mut Scratch,
) {
    let settings = query.settings(snapshot);
    let model = &snapshot.parts;
    let content = model.tables.get(&Source::Content);
    let half_life_days = settings.content.profile_half_life_days;
    let of_content = Weighting { half_life_days, counts: 0.0 }.into();
    let (weighting, table): (ProfileWeighting, Option<&Csr>) = match source {
        Source::ItemCf => (settings.item_cf.weighting.profile(), Some(&model.item_cf)),
        Source::Ease => (settings.ease.weighting.profile(), Some(&model.ease)),
        Source::GraphFilter => {
            let table = model.tables.get(&source).map(AsRef::as_ref);
            (settings.graph_filter.weighting.profile(), table)
        }
        Source::Content => (of_content, content.map(AsRef::as_ref)),
        Source::Transition => (of_content, Some(&model.transition)),
        Source::UserCf | Source::PushedUsers => {
            (settings.user_cf.weighting.profile(), Some(&model.similar))
        }
        Source::Session => (of_content, Some(&model.similar)),
        Source::Sequence => (of_content, None),
        Source::PushedItems => (settings.item_cf.weighting.profile(), Some(&model.pushed.items)),
        Source::Embedding | Source::PushedEmbedding => {
            (settings.embedding.weighting.profile(), None)
        }
        Source::Repeat | Source::Revisit => (ProfileWeighting::default(), None),
        _ => return,
    };

    query.profile(weighting, scratch);
    let profile = &scratch.profile;
    let weight = |item: ItemIdx| {
        let at = profile.binary_search_by_key(&item, |cell| cell.item);
        at.map_or(0.0, |at| profile[at].weight)
    };
    let own = parts.own.clone();
    let (targets, places) = (parts.targets, parts.places);
    match (source, table) {
        (_, Some(table)) => parts.add(share, |at, row| {
            let weight = weight(own[at]);
            let (columns, values) = table.row(own[at] as usize);
            for (&column, value) in columns.iter().zip(values) {
                if let Some(place) = places.get(column) {
                    row[place] += weight * value;
                }
            }
        }),
        (Source::Repeat | Source::Revisit, None) => parts.add(share, |at, row| {
            let same = targets.iter().zip(row).filter(|(target, _)| **target == own[at]);
            same.for_each(|(_, term)| *term = 1.0);
        }),
        (Source::PushedEmbedding, None) => {
            add_vectors(&model.pushed.embeddings, share, weight, parts);
        }
        (Source::Sequence, None) => add_vectors(&model.sequence, share, weight, parts),
        (_, None) => add_vectors(&model.embeddings, share, weight, parts),
    }
}

fn add_vectors(
    model: &Embeddings,
    share: &[f32],
    weight: impl Fn(ItemIdx) -> f32,
    parts: &mut Parts<'_>,
) {
    let own = parts.own.clone();
    let targets = parts.targets;
    parts.add(share, |at, row| {
        let vector = model.vector(own[at]);
        let fold_in = model.fold_in.get(own[at] as usize).copied().unwrap_or(0.0);
        for (term, &target) in row.iter_mut().zip(targets) {
            let other = model.vector(target);
            if fold_in > 0.0 && other.len() == vector.len() {
                *term = weight(own[at]) * fold_in * dot(vector, other);
            }
        }
    });
}

/// The newest event on each of the user's items that speaks for it; a purchase before others.
fn newest_events(query: &Query<'_>, own: &[ItemIdx]) -> Vec<Option<HistoryEvent>> {
    let mut newest: Vec<Option<HistoryEvent>> = vec![None; own.len()];
    let viewed = |&item: &ItemIdx| HistoryEvent::new(EventKind::View, item, query.shelf.now_ms);
    let session = query.session.iter().map(viewed);
    for event in query.history.iter().copied().chain(session) {
        let Ok(at) = own.binary_search(&event.item) else { continue };
        let before = newest[at].map_or(0.0, |before| kind_weight(before.kind));
        if kind_weight(event.kind) > 0.0 && kind_weight(event.kind) >= before {
            newest[at] = Some(event);
        }
    }
    newest
}

/// Counts the most similar users who took each item; who they are stays here.
fn add_similar_users(snapshot: &Snapshot, places: &Places, all: &mut [Reasons], scratch: &Scratch) {
    let by_user = &snapshot.parts.user_cf.by_user;
    for neighbour in &scratch.neighbours {
        for item in by_user.row(*neighbour as usize).0 {
            if let Some(at) = places.get(*item) {
                all[at].similar_users += 1;
            }
        }
    }
}

fn add_due(snapshot: &Snapshot, query: &Query<'_>, targets: &[ItemIdx], all: &mut [Reasons]) {
    let habits = &snapshot.parts.habits;
    for (reasons, &item) in all.iter_mut().zip(targets) {
        let bought = |e: &&HistoryEvent| e.item == item && e.kind == EventKind::Purchase;
        let last = query.history.iter().rev().find(bought);
        let usual = habits.gap_days.get(item as usize).copied().filter(|days| *days > 0.0);
        if let (Some(last), Some(usual)) = (last, usual) {
            let since = (query.shelf.now_ms - last.time_ms).max(0) as f32 / DAY_MS as f32;
            reasons.due = Some((usual, since));
        }
    }
}
