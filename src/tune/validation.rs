//! Holds out cases of the log to tune on: the same kind of behaviour that lists will be asked for.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::task::Task;
use crate::domain::history::standing;
use crate::domain::{HistoryEvent, UserIdx};
use crate::evaluate::{Case, Truth};
use crate::matrix::UserEvents;
use crate::matrix::weight::kind_weight;
use crate::recommend::RepeatPolicy;
use crate::train::sessions::visits;

/// Minimum number of cases: with fewer, differences are chance.
pub const MIN_CASES: usize = 20;
/// Number of cases that is enough, together with [`TARGET_WANTED`]: with one item each, settings
/// chosen by chance may win.
const TARGET_CASES: usize = 2_000;
/// Number of ground-truth items that is enough.
const TARGET_WANTED: usize = 12_000;
/// Maximum number of cases.
const MAX_CASES: usize = 8_000;
/// Share of the sessions that is held out.
const SESSIONS_HELD: f64 = 0.1;
/// Share of a user's items that is held out where times do not order them.
const RANDOM_HELD: f64 = 0.1;
/// Minimum share of users, of those with something to hold out, whose events times order: fewer are
/// exceptions in a log with meaningless times.
const ORDERED_USERS: f64 = 0.05;

/// A log split into a training part and cases.
pub struct HoldoutSplit {
    /// The training part.
    pub log: UserEvents,
    /// The cases, in random order.
    pub cases: Vec<Case>,
    /// The time of each case's ground truth, in milliseconds since 1970.
    pub asked_ms: Vec<i64>,
    /// Whether it is later than the case's history.
    pub ordered: bool,
}

/// Splits the log.
pub fn hold_out(events: &UserEvents, task: Task, seed: u64) -> HoldoutSplit {
    let mut rng = StdRng::seed_from_u64(seed);
    match task {
        Task::NextBasket(repeat) => baskets(events, repeat, &mut rng),
        Task::NextItem | Task::Session => sessions(events, &mut rng),
    }
}

/// A user's events in two parts.
struct Cut {
    user: usize,
    kept: Vec<HistoryEvent>,
    asked: Vec<HistoryEvent>,
}

impl Cut {
    /// The case; none where its ground truth is empty.
    fn case(&self, repeat: RepeatPolicy) -> Option<Case> {
        let seen = match repeat {
            RepeatPolicy::ExcludePurchased => standing(&self.kept),
            _ => Vec::new(),
        };
        let wanted = self.asked.iter().filter(|e| kind_weight(e.kind) > 0.0).map(|e| e.item);
        let truth: Vec<u32> = wanted.filter(|item| seen.binary_search(item).is_err()).collect();
        let history = self.kept.clone();
        let case = Case { history, ..case(Some(self.user as UserIdx), truth) };
        (case.truth.len > 0).then_some(case)
    }
}

/// The last baskets or, where times do not order them, a random part of the users' items: baskets
/// of one time tell what goes together, not what comes next.
fn baskets(events: &UserEvents, repeat: RepeatPolicy, rng: &mut StdRng) -> HoldoutSplit {
    let users = 0..events.users();
    if events.is_ordered() {
        let cuts: Vec<Cut> = users.clone().filter_map(|user| last_basket(events, user)).collect();
        let several = users.filter(|&user| events.of(user).len() > 1).count();
        if cuts.len() >= MIN_CASES && cuts.len() as f64 >= several as f64 * ORDERED_USERS {
            return held(events, cuts, repeat, true, rng);
        }
    }
    random_parts(events, repeat, rng)
}

/// Holds out a random part of every user's items.
pub fn random(events: &UserEvents, repeat: RepeatPolicy, seed: u64) -> HoldoutSplit {
    random_parts(events, repeat, &mut StdRng::seed_from_u64(seed))
}

fn random_parts(events: &UserEvents, repeat: RepeatPolicy, rng: &mut StdRng) -> HoldoutSplit {
    let users = 0..events.users();
    let mut cuts: Vec<Cut> = users.filter_map(|user| random_part(events, user, rng)).collect();
    cuts.shuffle(rng);
    held(events, cuts, repeat, false, rng)
}

/// As many splits as are enough, newest first where they are ordered: the newest baskets are most
/// like future ones.
fn held(
    events: &UserEvents,
    mut cuts: Vec<Cut>,
    repeat: RepeatPolicy,
    ordered: bool,
    rng: &mut StdRng,
) -> HoldoutSplit {
    if ordered {
        cuts.sort_by_key(|cut| std::cmp::Reverse(cut.asked.last().map(|e| e.time_ms)));
    }

    let mut cases = Vec::new();
    let mut wanted = 0;
    let mut kept_of: Vec<Option<Vec<HistoryEvent>>> = vec![None; events.users()];
    for cut in cuts {
        if cases.len() == MAX_CASES || (cases.len() >= TARGET_CASES && wanted >= TARGET_WANTED) {
            break;
        }
        if let Some(case) = cut.case(repeat) {
            wanted += case.truth.len;
            cases.push((case, cut.asked.last().map_or(0, |e| e.time_ms)));
            kept_of[cut.user] = Some(cut.kept);
        }
    }
    cases.shuffle(rng);

    let kept_log = (0..events.users()).flat_map(|user| {
        let kept = kept_of[user].take().unwrap_or_else(|| events.of(user).to_vec());
        kept.into_iter().map(move |e| (user as UserIdx, e))
    });
    let log = UserEvents::new(events.users(), events.items(), kept_log.collect());
    let (cases, asked_ms) = cases.into_iter().unzip();
    HoldoutSplit { log, cases, asked_ms, ordered }
}

/// A user's last basket, with everything of its time, and what came before; none where nothing did:
/// baskets of one time have no order.
fn last_basket(events: &UserEvents, user: usize) -> Option<Cut> {
    let history = events.of(user);
    let last = history.last()?.moment();
    let of_last = history.iter().filter(|e| e.moment() == last);
    let since_ms = of_last.map(|e| e.time_ms).min()?;

    let (kept, asked): (Vec<_>, Vec<_>) = history.iter().partition(|e| e.time_ms < since_ms);
    (!kept.is_empty()).then_some(Cut { user, kept, asked })
}

/// A random part of a user's items, with all events on them, and the rest; none of a user with one
/// item.
fn random_part(events: &UserEvents, user: usize, rng: &mut StdRng) -> Option<Cut> {
    let history = events.of(user);
    let mut items: Vec<u32> = history.iter().map(|e| e.item).collect();
    items.sort_unstable();
    items.dedup();
    if items.len() < 2 {
        return None;
    }

    items.shuffle(rng);
    items.truncate(((items.len() as f64 * RANDOM_HELD).round() as usize).max(1));
    let (asked, kept): (Vec<_>, Vec<_>) = history.iter().partition(|e| items.contains(&e.item));
    Some(Cut { user, kept, asked })
}

/// The newest sessions as a whole, each prefix a case with the next item; none where times do not
/// order the events.
fn sessions(events: &UserEvents, rng: &mut StdRng) -> HoldoutSplit {
    if !events.is_ordered() {
        let (cases, asked_ms) = Default::default();
        return HoldoutSplit { log: events.clone(), cases, asked_ms, ordered: false };
    }

    let all = (0..events.users()).flat_map(|user| {
        visits(events.of(user)).map(move |visit| (visit[visit.len() - 1].time_ms, user, visit))
    });
    let (mut sessions, single): (Vec<_>, Vec<_>) = all.partition(|(_, _, visit)| visit.len() > 1);
    sessions.sort_by_key(|&(end_ms, user, _)| (end_ms, user));
    let held = (sessions.len() as f64 * SESSIONS_HELD) as usize;
    let newest = sessions.split_off(sessions.len() - held);
    let asked = |(end_ms, _, visit): &(i64, usize, &[HistoryEvent])| {
        let end_ms = *end_ms;
        prefixes(visit).into_iter().map(move |case| (of_next(case), end_ms))
    };

    let mut cases: Vec<(Case, i64)> = newest.iter().flat_map(asked).collect();
    cases.shuffle(rng);
    cases.truncate(2 * TARGET_CASES);
    let (cases, asked_ms) = cases.into_iter().unzip();
    let kept = sessions.into_iter().chain(single);
    let log = kept.flat_map(|(_, user, visit)| visit.iter().map(move |&e| (user as UserIdx, e)));
    let log = UserEvents::new(events.users(), events.items(), log.collect());
    HoldoutSplit { log, cases, asked_ms, ordered: true }
}

/// The case with the next item alone as its ground truth: a list is shown for the next step, and
/// what is viewed after that will have lists of its own.
fn of_next(case: Case) -> Case {
    Case { truth: case.next.clone().unwrap_or(case.truth), ..case }
}

/// Every prefix of a session that is followed by an item.
pub fn prefixes(session: &[HistoryEvent]) -> Vec<Case> {
    let items: Vec<_> =
        session.iter().filter(|e| kind_weight(e.kind) > 0.0).map(|e| e.item).collect();
    (1..items.len())
        .map(|at| Case {
            next: Some(Truth::new(vec![items[at]], 0)),
            session: items[..at].to_vec(),
            ..case(None, items[at..].to_vec())
        })
        .collect()
}

fn case(user: Option<UserIdx>, truth: Vec<u32>) -> Case {
    let truth = Truth::new(truth, 0);
    Case { user, history: Vec::new(), session: Vec::new(), truth, next: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DAY_MS, EventKind};

    /// Thirty users with eight items each; `at` returns basket and time of the n-th.
    fn log(at: impl Fn(u32, u32) -> (u32, i64)) -> UserEvents {
        let rows = (0..30).flat_map(|user| (0..8).map(move |n| (user, n)));
        let event = |(user, n): (u32, u32)| {
            let (basket, time_ms) = at(user, n);
            let item = (user * 3 + n * 7) % 60;
            (user, HistoryEvent { basket, ..HistoryEvent::new(EventKind::Purchase, item, time_ms) })
        };
        UserEvents::new(30, 60, rows.map(event).collect())
    }

    fn held(log: &UserEvents) -> HoldoutSplit {
        hold_out(log, Task::NextBasket(RepeatPolicy::Allow), 1)
    }

    #[test]
    fn the_last_basket_is_what_came_later_than_all_else() {
        let ordered = log(|user, n| (1 + user * 10 + n / 2, i64::from(n / 2) * DAY_MS + 1));
        let held = held(&ordered);
        assert!(held.ordered && held.cases.len() == 30);
        assert!(held.cases.iter().all(|case| case.truth.len == 2 && case.history.len() == 6));
        // Two baskets of one time have no order: both are in the ground truth.
        let tied = log(|user, n| (1 + user * 10 + n / 2, i64::from(n / 4) * DAY_MS + 1));
        let held = hold_out(&tied, Task::NextBasket(RepeatPolicy::Allow), 1);
        assert!(held.ordered && held.cases.iter().all(|case| case.truth.len == 4));
    }

    #[test]
    fn a_log_without_order_gives_a_random_tenth_of_the_items() {
        // One time, and a basket per row: neither tells what came last.
        let timeless = log(|user, n| (1 + user * 10 + n, 7));

        let a_time_each = log(|user, n| (1 + user * 10 + n, i64::from(user)));
        for log in [&timeless, &a_time_each] {
            let held = held(log);
            assert!(!held.ordered && held.cases.len() == 30);
            assert!(held.cases.iter().all(|case| case.truth.len == 1 && case.history.len() == 7));
            let last =
                |case: &Case| case.truth.items == [log.of(case.user.unwrap() as usize)[7].item];
            assert!(held.cases.iter().filter(|case| last(case)).count() < 15, "not the last ones");
        }
        assert!(hold_out(&timeless, Task::Session, 1).cases.is_empty());
    }
}
