//! Lists made ahead: the same blend, asked for every shopper when a snapshot has been
//! trained, and answered from while the shopper has done nothing since.

use rayon::prelude::*;

use super::blend;
use super::list::Recommended;
use crate::domain::UserIdx;
use crate::domain::history::Past;
use crate::domain::progress::{Cancelled, Control};
use crate::live::{Catalogue, Filter};
use crate::matrix::UserEvents;
use crate::model::prepared::stamp;
use crate::model::{Prepared, Snapshot, Source};
use crate::sources::{Query, RepeatPolicy, Scratch, Shelf};

/// Length of a prepared list: enough for the usual request after what cannot be
/// offered has gone.
const LENGTH: usize = 40;
/// Users between two looks at whether to stop.
const CHUNK: usize = 5_000;

/// Which lists are made.
#[derive(Debug, Clone, Copy)]
pub struct PreparedListOptions {
    /// What lists offer unless a request says otherwise.
    pub repeat: RepeatPolicy,
    /// How many events of a shopper lists are made from; see [`Past`].
    pub history_limit: usize,
    /// For how many shoppers.
    pub max_users: usize,
}

/// Makes lists as of the newest event, for the shoppers who were there last, the newest
/// first, as many as are wanted or until there are `enough`.
///
/// # Errors
/// [`Cancelled`] when told to stop.
pub fn prepare(
    snapshot: &Snapshot,
    events: &UserEvents,
    options: PreparedListOptions,
    enough: impl Fn() -> bool,
    control: &Control<'_>,
) -> Result<Prepared, Cancelled> {
    let policy = options.repeat.resolved(&snapshot.manifest.settings);
    let repeats = policy == RepeatPolicy::Allow;
    if !(repeats || policy == RepeatPolicy::ExcludePurchased) {
        // What may come back changes with the hour.
        return Ok(Prepared::default());
    }

    let mut users: Vec<usize> = (0..events.users()).filter(|&u| !events.of(u).is_empty()).collect();
    users.sort_by_key(|&u| std::cmp::Reverse(events.of(u).last().map(|e| e.time_ms)));
    users.truncate(options.max_users);
    let mut prepared = Prepared {
        repeats,
        stamps: vec![0; events.users()],
        starts: vec![0; events.users()],
        lengths: vec![0; events.users()],
        ..Prepared::default()
    };

    let catalogue = Catalogue::default();
    let filter = Filter::default();
    let catalogue = &catalogue;
    let filter = &filter;
    let items = events.items();
    let now_ms = snapshot.manifest.newest_ms;
    let shelf = Shelf { catalogue, items, filter, excluded: &[], only: None, now_ms };
    let list = |scratch: &mut Scratch, &user: &usize| {
        let past = Past::of(events.of(user), options.history_limit);
        let history = &past.events[..];
        let query = Query {
            user: Some(user as UserIdx),
            history,
            bought: &past.bought,
            limit: LENGTH,
            repeat: policy,
            ..Query::on(shelf)
        };

        shelf.mask(&mut scratch.mask);
        query.exclude(snapshot, scratch);
        (stamp(history), blend::blend(snapshot, &query, scratch))
    };

    for chunk in users.chunks(CHUNK) {
        control.check()?;
        if enough() {
            break;
        }

        let lists: Vec<(u64, Vec<Recommended>)> =
            chunk.par_iter().map_init(Scratch::default, list).collect();
        for (&user, (stamp, list)) in chunk.iter().zip(lists) {
            prepared.stamps[user] = stamp;
            prepared.starts[user] = prepared.items.len() as u32;
            prepared.lengths[user] = list.len() as u8;
            for recommended in list {
                let place = Source::BLENDED.iter().position(|&s| s == recommended.source);
                prepared.items.push(recommended.item);
                prepared.scores.push(recommended.score);
                prepared.sources.push(place.unwrap_or(0) as u8);
            }
        }
    }
    Ok(prepared)
}

/// The list for a query, of what the shelf holds, if one was prepared for it and it is
/// long enough. What this shopper should not be offered was left out when it was made.
pub(super) fn answer(
    snapshot: &Snapshot,
    query: &Query<'_>,
    scratch: &Scratch,
) -> Option<Vec<Recommended>> {
    let prepared = &snapshot.parts.prepared;
    let policy =
        if prepared.repeats { RepeatPolicy::Allow } else { RepeatPolicy::ExcludePurchased };
    let as_prepared = query.repeat.resolved(&snapshot.manifest.settings) == policy;
    if query.strategy.is_some() || !query.session.is_empty() || !as_prepared {
        return None;
    }

    let list = prepared.list(query.user?, query.history)?;
    let mut items = Vec::with_capacity(query.limit);
    let offered = list.filter(|&(item, ..)| scratch.mask.allows(item));
    items.extend(offered.take(query.limit).map(|(item, score, source)| Recommended {
        item,
        score,
        source,
    }));
    (items.len() == query.limit).then_some(items)
}
