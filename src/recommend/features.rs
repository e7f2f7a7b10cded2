//! Features of a candidate for the second stage: every source's score and rank, the user's history
//! with the item, the item's popularity, and the user. Computed alike in training and in serving.

use crate::domain::topk::Scored;
use crate::domain::{DAY_MS, EventKind, HistoryEvent};
use crate::matrix::recent::{Recent, recent_items};
use crate::model::second_stage::{FEATURES, Features, LATER_SOURCES, SOURCES};
use crate::model::{Ranking, Snapshot, Source};
use crate::sources::{Query, Scratch};

const BLEND: usize = 2 * SOURCES;
const PAIR: usize = BLEND + 2;
const ITEM: usize = PAIR + 11;
const USER: usize = ITEM + 11;
const PURSE: usize = USER + 7;
const RECENT: usize = PURSE + 2;
const LATER: usize = RECENT + 4;

/// No such event; larger than any number of days.
const NEVER: f32 = 1e6;
/// Weight of a purchase relative to one a basket later.
const FADE: f32 = 0.9;

/// Writes the features of `blended`, in its order, into `scratch.rows`; reads each
/// source's candidates from `scratch.lists`.
pub(super) fn rows(
    snapshot: &Snapshot,
    query: &Query<'_>,
    blended: &[Scored],
    scratch: &mut Scratch,
) {
    query.events(scratch);
    let Scratch { rows, lists, slots, events, recent: of_late, .. } = scratch;
    recent_items(events, query.shelf.now_ms, of_late);
    rows.clear();
    rows.resize(blended.len(), [0.0; FEATURES]);

    let len = blended.iter().map(|s| s.idx as usize + 1).max().unwrap_or(0);
    if slots.len() < len {
        slots.resize(len, u32::MAX);
    }

    for (at, candidate) in blended.iter().enumerate() {
        slots[candidate.idx as usize] = at as u32;
        rows[at][BLEND] = candidate.score;
        rows[at][BLEND + 1] = at as f32;
    }

    let slot = |item: u32| slots.get(item as usize).copied().filter(|&s| s != u32::MAX);
    for (source, list) in Source::BLENDED.into_iter().zip(lists.iter()) {
        let Some((score, place)) = columns(source) else { continue };
        let best = list.first().map_or(1.0, |s| s.score);
        for (rank, candidate) in list.iter().enumerate() {
            if let Some(at) = slot(candidate.idx) {
                rows[at as usize][score] = candidate.score / best;
                rows[at as usize][place] = 1.0 / (1.0 + rank as f32);
            }
        }
    }

    pairs(query, rows, slot);
    recent(snapshot, of_late, rows, slot);
    due(snapshot, blended, rows);

    let user = user(query);
    let (used_to, worth) = purse(query, user[0]);
    for (row, candidate) in rows.iter_mut().zip(blended) {
        item(snapshot, candidate.idx, used_to, &mut row[ITEM..USER]);
        row[USER..PURSE].copy_from_slice(&user);
        row[PURSE..RECENT].copy_from_slice(&[used_to.unwrap_or(0.0), worth]);
    }
    blended.iter().for_each(|s| slots[s.idx as usize] = u32::MAX);
}

/// The features of a source's score and of its rank.
fn columns(source: Source) -> Option<(usize, usize)> {
    let is_source = |of: &Source| *of == source;
    let first = Source::BLENDED.iter().take(SOURCES).position(is_source);
    let later = LATER_SOURCES.iter().position(is_source).map(|at| LATER + 2 * at);
    first.map(|at| (at, SOURCES + at)).or(later.map(|at| (at, at + 1)))
}

/// Of user and item: times bought, days and baskets since, mean gap, how due it is (days since over
/// the mean gap), other events, baskets since the first with it, purchases faded by baskets, total
/// quantity.
fn pairs(query: &Query<'_>, rows: &mut [Features], slot: impl Fn(u32) -> Option<u32>) {
    for row in rows.iter_mut() {
        row[PAIR + 1] = NEVER;
        row[PAIR + 2] = NEVER;
    }

    let (mut baskets, mut faded): (f32, f32) = (0.0, 1.0);
    let mut later: Option<(u32, i64)> = None;
    for event in query.history.iter().rev() {
        if event.kind != EventKind::Purchase {
            if let Some(at) = slot(event.item) {
                rows[at as usize][PAIR + 5] += 1.0;
            }
            continue;
        }

        let key = event.together();
        if later.is_some_and(|last| last != key) {
            baskets += 1.0;
            faded *= FADE;
        }

        later = Some(key);
        let Some(at) = slot(event.item) else { continue };

        let row = &mut rows[at as usize];
        let days = (query.shelf.now_ms - event.time_ms) as f32 / DAY_MS as f32;
        if row[PAIR] == 0.0 {
            row[PAIR + 1] = days;
            row[PAIR + 2] = baskets;
        }

        row[PAIR] += 1.0;
        // From the newest purchase back; this one is the oldest so far.
        row[PAIR + 3] = days - row[PAIR + 1];
        row[PAIR + 6] = baskets + 1.0;
        row[PAIR + 7] += faded;
        row[PAIR + 9] += event.quantity;
    }

    for row in rows.iter_mut().filter(|row| row[PAIR] > 1.0) {
        row[PAIR + 3] /= row[PAIR] - 1.0;
        if row[PAIR + 3] > 0.0 {
            row[PAIR + 4] = row[PAIR + 1] / row[PAIR + 3];
        }
    }
}

/// Of user and item, with the running session: items dealt with since, events on it, whether in this
/// visit, the chance of a return.
fn recent(
    snapshot: &Snapshot,
    recent: &[Recent],
    rows: &mut [Features],
    slot: impl Fn(u32) -> Option<u32>,
) {
    rows.iter_mut().for_each(|row| row[RECENT] = NEVER);
    for of in recent {
        let Some(at) = slot(of.item) else { continue };
        let chance = snapshot.parts.chance_of_return(of);
        let features =
            [of.rank as f32, of.count as f32, f32::from(u8::from(of.is_current)), chance];
        rows[at as usize][RECENT..LATER].copy_from_slice(&features);
    }
}

/// How due items are by their usual gap, and the share of the baskets since the first that
/// contained them.
fn due(snapshot: &Snapshot, blended: &[Scored], rows: &mut [Features]) {
    for (row, candidate) in rows.iter_mut().zip(blended).filter(|(row, _)| row[PAIR] > 0.0) {
        let usual = of(&snapshot.parts.habits.gap_days, candidate.idx);
        row[PAIR + 8] = row[PAIR + 1] / usual.max(1.0);
        row[PAIR + 10] = row[PAIR] / row[PAIR + 6];
    }
}

/// Of the item: popularity of all time, trending, of 30 days, as shares of the most popular; its
/// trend; whether and how soon it is bought again; days since its first and last event; the
/// logarithm of its price, and its difference to the user's mean.
fn item(snapshot: &Snapshot, item: u32, used_to: Option<f32>, features: &mut [f32]) {
    let popularity = &snapshot.parts.popularity;
    let rankings =
        [&popularity.all_time, &popularity.trending, &popularity.days30, &popularity.days7];
    let [all, trend, days30, days7] = rankings.map(|ranking| of(&ranking.by_item, item));
    let share = |score: f32, ranking: &Ranking| score / ranking.scores.first().unwrap_or(&1.0);
    features[0] = share(all, &popularity.all_time);
    features[1] = share(trend, &popularity.trending);
    features[2] = share(days30, &popularity.days30);
    features[3] = trend / all.max(1.0);
    features[4] = days7 / days30.max(1.0);
    features[5] = of(&snapshot.parts.habits.again, item);
    features[6] = of(&snapshot.parts.habits.gap_days, item);
    features[7] = of(&snapshot.parts.habits.age_days, item);
    features[8] = of(&snapshot.parts.habits.idle_days, item);

    let price = of(&snapshot.parts.habits.price, item);
    if price > 0.0 {
        features[9] = price.ln();
        features[10] = used_to.map_or(0.0, |used_to| price.ln() - used_to);
    }
}

/// Of the user's spending: mean logarithm of the prices paid, mean value of a basket.
fn purse(query: &Query<'_>, baskets: f32) -> (Option<f32>, f32) {
    let bought = query.history.iter().filter(|e| e.kind == EventKind::Purchase);
    let mut sum = 0.0;
    let mut count = 0.0f32;
    let mut worth = 0.0;
    for (price, quantity) in bought.filter_map(|e| Some((e.price.ln()?, e.quantity))) {
        sum += price;
        count += 1.0;
        worth += price.exp() * quantity;
    }
    ((count > 0.0).then(|| sum / count), worth / baskets.max(1.0))
}

/// The entry of an item; 0 for one newer than the snapshot.
fn of(by_item: &[f32], item: u32) -> f32 {
    by_item.get(item as usize).copied().unwrap_or(0.0)
}

/// Of the user: baskets, mean basket, distinct items, days since the last event, share of repeats,
/// mean days between baskets, size of the last.
fn user(query: &Query<'_>) -> [f32; 7] {
    let mut baskets = 0.0f32;
    let mut last_size = 0.0f32;
    let mut later = None;
    for event in query.history {
        if later.replace(event.together()) != Some(event.together()) {
            baskets += 1.0;
            last_size = 0.0;
        }
        last_size += 1.0;
    }

    let mut items: Vec<u32> = query.history.iter().map(|e| e.item).collect();
    items.sort_unstable();
    items.dedup();
    let distinct = items.len() as f32;
    let events = query.history.len() as f32;
    let days = |e: &HistoryEvent| (query.shelf.now_ms - e.time_ms) as f32 / DAY_MS as f32;
    let since = query.history.last().map_or(NEVER, days);
    let first = query.history.first().map_or(0.0, days);
    let gap = (first - since).max(0.0) / (baskets - 1.0).max(1.0);

    let repeats = 1.0 - distinct / events.max(1.0);
    [baskets, events / baskets.max(1.0), distinct, since, repeats, gap, last_size]
}
