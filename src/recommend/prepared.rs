//! Prepared lists: the same blend, computed for many users when a snapshot is trained and for active
//! ones after each of their events, and served while the user has done nothing since.

use rayon::prelude::*;

use super::list::{Basis, Recommended};
use super::room::{Room, alternated};
use super::{basis, blend, cold, fresh};
use crate::domain::history::Past;
use crate::domain::progress::{Cancelled, Control};
use crate::domain::topk::Scored;
use crate::domain::{ItemIdx, UserIdx};
use crate::live::{Catalogue, Filter};
use crate::matrix::UserEvents;
use crate::model::prepared::{PreparedList, stamp};
use crate::model::{Prepared, Snapshot, Source};
use crate::sources::{Query, RepeatPolicy, Scratch, Shelf};

/// Length of a prepared list: enough for the usual request after unavailable items are removed.
const LENGTH: usize = 40;
/// Rare items that follow it, beyond those that it has room for: some may be unavailable.
const SPARE_RARE: usize = 2;
/// Maximum number of rare items that follow it, with those that it holds already.
const LONGEST_RARE: usize = 100;
/// Users between two checks whether to stop.
const CHUNK: usize = 5_000;

/// Which lists are prepared.
#[derive(Debug, Clone, Copy)]
pub struct PreparedListOptions {
    /// The store's repeat policy.
    pub repeat: RepeatPolicy,
    /// Events of a user that lists are made from; see [`Past`].
    pub history_limit: usize,
    /// Maximum number of users.
    pub max_users: usize,
}

/// Prepares lists as of the newest event, for the most recent users first, up to the maximum or
/// until `enough` holds.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn prepare(
    snapshot: &Snapshot,
    events: &UserEvents,
    options: PreparedListOptions,
    enough: impl Fn() -> bool,
    control: &Control<'_>,
) -> Result<Prepared, Cancelled> {
    let policy = options.repeat.resolved(&snapshot.manifest.settings);
    if !lasts(policy) {
        return Ok(Prepared::default());
    }

    let users = most_recent_users(events, options.max_users);
    let mut prepared = Prepared {
        repeats: policy == RepeatPolicy::Allow,
        stamps: vec![0; events.users()],
        starts: vec![0; events.users()],
        lengths: vec![0; events.users()],
        ..Prepared::default()
    };

    // Availability is checked when a list is served.
    let (catalogue, filter) = (Catalogue::default(), Filter::default());
    let shelf = Shelf::of(&catalogue, events.items(), &filter, snapshot.manifest.newest_ms);
    let list = |scratch: &mut Scratch, &user: &usize| {
        let past = Past::of(events.of(user), options.history_limit);
        let made = make(
            snapshot,
            (user as UserIdx, &past),
            policy,
            (shelf, |_: &mut _| Vec::new()),
            scratch,
        );
        // None where the snapshot knows nothing of the user's taste, as of one who returned all.
        made.unwrap_or_default()
    };

    for chunk in users.chunks(CHUNK) {
        control.check()?;
        if enough() {
            break;
        }

        let lists: Vec<PreparedList> = chunk.par_iter().map_init(Scratch::default, list).collect();
        for (&user, list) in chunk.iter().zip(&lists) {
            prepared.push(user as UserIdx, list);
        }
    }
    Ok(prepared)
}

/// A user's list by their past, with `new` items, of a store with that many items, as of now; none where
/// lists of the policy change by the hour, or the snapshot knows none of the user's items. What is new
/// is asked for only where there is a list.
pub fn make_now(
    snapshot: &Snapshot,
    (user, past): (UserIdx, &Past),
    repeat: RepeatPolicy,
    (items, now_ms): (usize, i64),
    new: impl FnOnce(&mut Scratch) -> Vec<Scored>,
    scratch: &mut Scratch,
) -> Option<PreparedList> {
    let policy = repeat.resolved(&snapshot.manifest.settings);
    // Availability is checked when a list is served.
    let (catalogue, filter) = (Catalogue::default(), Filter::default());
    let shelf = Shelf::of(&catalogue, items, &filter, now_ms);
    if !lasts(policy) {
        return None;
    }
    make(snapshot, (user, past), policy, (shelf, new), scratch)
}

/// The items newer than the snapshot that are alike to the user's newest: apart from the list itself, so
/// that the catalogue is not held while that is made.
pub fn newcomers(
    snapshot: &Snapshot,
    past: &Past,
    (catalogue, items, now_ms): (&Catalogue, usize, i64),
    scratch: &mut Scratch,
) -> Vec<Scored> {
    let filter = Filter::default();
    let shelf = Shelf::of(catalogue, items, &filter, now_ms);
    let query = Query { history: &past.events, ..Query::on(shelf) };
    cold::newcomers_of(snapshot, &query, scratch)
}

/// Whether lists of a policy hold as long as the user does nothing: with others they change by the
/// hour.
fn lasts(policy: RepeatPolicy) -> bool {
    matches!(policy, RepeatPolicy::Allow | RepeatPolicy::ExcludePurchased)
}

/// A user's list; none where the snapshot knows none of the user's items.
fn make(
    snapshot: &Snapshot,
    (user, past): (UserIdx, &Past),
    policy: RepeatPolicy,
    (shelf, new): (Shelf<'_>, impl FnOnce(&mut Scratch) -> Vec<Scored>),
    scratch: &mut Scratch,
) -> Option<PreparedList> {
    let query = Query {
        user: Some(user),
        history: &past.events,
        bought: &past.bought,
        limit: LENGTH,
        repeat: policy,
        ..Query::on(shelf)
    };

    if basis::of(snapshot, &query, scratch) == Basis::Popular {
        return None;
    }

    let mut new = new(scratch);
    shelf.mask(&mut scratch.mask);
    query.exclude(snapshot, scratch);
    let mut list = blend::blend(snapshot, &query, scratch);
    new.retain(|s| scratch.mask.allows(s.idx));
    fresh::merge(&mut list, &new, Source::Content, LENGTH, &mut scratch.mask);

    let places = Room::in_list(snapshot, &query).of(list.len());
    let new = new.into_iter().map(|s| s.idx);
    let rare = alternated(new, blend::rare_by_content(snapshot, scratch));
    let rare = rare_to_keep(&list, rare.into_iter(), places);

    let mut made = PreparedList {
        repeats: policy == RepeatPolicy::Allow,
        stamp: stamp(&past.events),
        ..PreparedList::default()
    };
    for recommended in list {
        let place = Source::BLENDED.iter().position(|&s| s == recommended.source);
        made.items.push(recommended.item);
        made.scores.push(recommended.score);
        made.sources.push(place.unwrap_or(0) as u8);
    }
    for item in rare {
        made.items.push(item);
        made.scores.push(0.0);
        made.sources.push(Prepared::RARE);
    }
    Some(made)
}

/// The first rare items, with enough that are not in the list for its places.
fn rare_to_keep(
    list: &[Recommended],
    rare: impl Iterator<Item = ItemIdx>,
    places: usize,
) -> Vec<ItemIdx> {
    let mut kept = Vec::new();
    if places == 0 {
        return kept;
    }
    let mut missing = places + SPARE_RARE;
    for item in rare.take(LONGEST_RARE) {
        kept.push(item);
        missing -= usize::from(list.iter().all(|listed| listed.item != item));
        if missing == 0 {
            break;
        }
    }
    kept
}

/// The users with the newest events, newest first.
fn most_recent_users(events: &UserEvents, max: usize) -> Vec<usize> {
    let mut users: Vec<usize> = (0..events.users()).filter(|&u| !events.of(u).is_empty()).collect();
    users.sort_by_key(|&u| std::cmp::Reverse(events.of(u).last().map(|e| e.time_ms)));
    users.truncate(max);
    users
}

/// The prepared list of a query, of the items on the shelf, if there is one that still holds and is
/// long enough: cut to the limit, unless rules choose from all of it; and the rare items that follow
/// it. Items that the policy excludes for this user were left out when it was made.
pub(super) fn answer(
    snapshot: &Snapshot,
    query: &Query<'_>,
    scratch: &Scratch,
) -> Option<(Vec<Recommended>, Vec<ItemIdx>)> {
    let of_snapshot = snapshot.parts.prepared.list(query.user?, query.history);
    let list = of_snapshot.or_else(|| query.made.and_then(|made| made.list(query.history)))?;
    let policy = if list.repeats { RepeatPolicy::Allow } else { RepeatPolicy::ExcludePurchased };
    let as_prepared = query.repeat.resolved(&snapshot.manifest.settings) == policy;
    let asks_more = query.explain || query.variety.is_some() || query.strategy.is_some();
    let is_weighed = !query.tired_of.is_empty() || query.worth.is_some();
    if asks_more || is_weighed || !query.session.is_empty() || !as_prepared {
        return None;
    }

    let keep = if query.shelf.steering().is_some() { LENGTH } else { query.limit };
    let has_room = Room::in_list(snapshot, query).of(query.limit) > 0;
    let mut items = Vec::with_capacity(keep);
    let mut rare = Vec::new();
    for (item, score, source) in list.iter().filter(|&(item, ..)| scratch.mask.allows(item)) {
        if items.len() == keep && !has_room {
            break;
        }
        match source {
            Some(source) if items.len() < keep => items.push(Recommended { item, score, source }),
            Some(_) => {}
            None => rare.push(item),
        }
    }
    (items.len() >= query.limit).then_some((items, rare))
}
