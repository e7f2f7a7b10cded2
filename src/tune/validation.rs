//! What is held out of the log to tune on: the same kind of behaviour that lists
//! will be asked for.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::Task;
use crate::domain::{HistoryEvent, UserIdx};
use crate::evaluate::split::basket;
use crate::evaluate::{Case, Truth};
use crate::matrix::UserEvents;
use crate::matrix::weight::kind_weight;
use crate::recommend::RepeatPolicy;

/// With fewer cases than this, nothing can be told apart.
pub const FEWEST_CASES: usize = 20;
/// Cases measured at the most; more would not change the choice.
const MOST_CASES: usize = 2_000;
/// Share of the sessions that is held out.
const SESSIONS_HELD: f64 = 0.1;
/// Share of a user's items that is held out where time does not order them.
const RANDOM_HELD: f64 = 0.1;

/// Cuts the log: what to train on, and what to ask for.
pub fn hold_out(events: &UserEvents, task: Task, seed: u64) -> (UserEvents, Vec<Case>) {
    let mut rng = StdRng::seed_from_u64(seed);
    match task {
        Task::NextBasket(repeat) => baskets(events, repeat, &mut rng),
        Task::NextItem => sessions(events, &mut rng),
    }
}

fn baskets(events: &UserEvents, repeat: RepeatPolicy, rng: &mut StdRng) -> (UserEvents, Vec<Case>) {
    // Users whose time orders nothing tell of baskets' insides, not of what comes
    // next: they are asked only where there are no others to speak of.
    let ordered = (0..events.users()).filter(|&u| !last_basket(events.of(u)).is_empty()).count();
    let mut users: Vec<usize> = (0..events.users()).collect();
    users.shuffle(rng);
    let mut kept_log = Vec::new();
    let mut cases = Vec::new();
    for user in users {
        let history = events.of(user);
        let held = match cases.len() < MOST_CASES {
            true if ordered >= FEWEST_CASES => last_basket(history),
            true => random_tenth(history, rng),
            false => Vec::new(),
        };
        let (asked, kept): (Vec<_>, Vec<_>) = (0..history.len()).partition(|i| held.contains(i));
        let kept: Vec<HistoryEvent> = kept.into_iter().map(|i| history[i]).collect();
        let wanted = asked.into_iter().map(|i| history[i]).filter(|e| kind_weight(e.kind) > 0.0);
        let seen =
            |item| repeat == RepeatPolicy::ExcludePurchased && kept.iter().any(|e| e.item == item);
        let truth: Vec<_> = wanted.map(|e| e.item).filter(|&item| !seen(item)).collect();
        if !truth.is_empty() {
            cases.push(case(Some(user as UserIdx), Vec::new(), truth));
        }
        kept_log.extend(kept.into_iter().map(|e| (user as UserIdx, e)));
    }
    // By user, so that the order of the draw leaves no trace in the log.
    kept_log.sort_by_key(|(user, _)| *user);
    (UserEvents::new(events.users(), events.items(), kept_log), cases)
}

/// Places of the last basket; none where there is no other.
fn last_basket(history: &[HistoryEvent]) -> Vec<usize> {
    let Some(last) = history.last() else { return Vec::new() };
    let of_last = |i: &usize| basket(&history[*i]) == basket(last);
    let places: Vec<usize> = (0..history.len()).filter(of_last).collect();
    if places.len() < history.len() { places } else { Vec::new() }
}

/// Places of a tenth, drawn at random.
fn random_tenth(history: &[HistoryEvent], rng: &mut StdRng) -> Vec<usize> {
    let mut places: Vec<usize> = (0..history.len()).collect();
    places.shuffle(rng);
    places.truncate((history.len() as f64 * RANDOM_HELD).round() as usize);
    places
}

/// The newest sessions whole, each prefix a case.
fn sessions(events: &UserEvents, rng: &mut StdRng) -> (UserEvents, Vec<Case>) {
    let mut by_end: Vec<usize> = (0..events.users()).filter(|&u| events.of(u).len() > 1).collect();
    by_end.sort_by_key(|&u| (events.of(u).last().map_or(0, |e| e.time_ms), u));
    let held_from = by_end.len() - (by_end.len() as f64 * SESSIONS_HELD) as usize;
    let held: std::collections::HashSet<usize> = by_end[held_from..].iter().copied().collect();
    let mut cases: Vec<Case> =
        by_end[held_from..].iter().flat_map(|&u| prefixes(events.of(u))).collect();
    cases.shuffle(rng);
    cases.truncate(MOST_CASES);
    let kept = (0..events.users())
        .filter(|user| !held.contains(user))
        .flat_map(|user| events.of(user).iter().map(move |e| (user as UserIdx, *e)))
        .collect();
    (UserEvents::new(events.users(), events.items(), kept), cases)
}

/// Every prefix of a session that something follows.
pub fn prefixes(session: &[HistoryEvent]) -> Vec<Case> {
    let items: Vec<_> =
        session.iter().filter(|e| kind_weight(e.kind) > 0.0).map(|e| e.item).collect();
    (1..items.len())
        .map(|at| Case {
            next: Some(Truth::new(vec![items[at]], 0)),
            ..case(None, items[..at].to_vec(), items[at..].to_vec())
        })
        .collect()
}

fn case(user: Option<UserIdx>, session: Vec<u32>, truth: Vec<u32>) -> Case {
    Case { user, session, truth: Truth::new(truth, 0), next: None }
}
