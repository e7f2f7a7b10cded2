//! What is held out of the log to tune on: the same kind of behaviour that lists
//! will be asked for.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::Task;
use crate::domain::{HistoryEvent, UserIdx};
use crate::evaluate::{Case, Truth};
use crate::matrix::UserEvents;
use crate::matrix::weight::kind_weight;
use crate::recommend::RepeatPolicy;
use crate::train::sessions::visits;

/// With fewer cases than this, nothing can be told apart.
pub const FEWEST_CASES: usize = 20;
/// Cases are enough when there are so many, and so many items wanted in them: one item
/// each tells little, and settings chosen by chance serve badly.
const ENOUGH_CASES: usize = 2_000;
/// Wanted items that are enough.
const ENOUGH_WANTED: usize = 12_000;
/// Cases at the most.
const MOST_CASES: usize = 8_000;
/// Share of the sessions that is held out.
const SESSIONS_HELD: f64 = 0.1;
/// Share of a user's items that is held out where time does not order them.
const RANDOM_HELD: f64 = 0.2;

/// What is held out.
pub struct Held {
    /// What to train on.
    pub log: UserEvents,
    /// What to ask for, in random order.
    pub cases: Vec<Case>,
    /// When what is asked for happened, in milliseconds since 1970, case by case.
    pub asked_ms: Vec<i64>,
    /// Whether it came later than what it is asked of.
    pub ordered: bool,
}

/// Cuts the log.
pub fn hold_out(events: &UserEvents, task: Task, seed: u64) -> Held {
    let mut rng = StdRng::seed_from_u64(seed);
    match task {
        Task::NextBasket(repeat) => baskets(events, repeat, &mut rng),
        Task::NextItem | Task::Session => sessions(events, &mut rng),
    }
}

/// A user's events, in two parts.
struct Cut {
    user: usize,
    kept: Vec<HistoryEvent>,
    asked: Vec<HistoryEvent>,
}

impl Cut {
    /// What is asked; none where nothing is wanted.
    fn case(&self, repeat: RepeatPolicy) -> Option<Case> {
        let mut seen: Vec<u32> = match repeat {
            RepeatPolicy::ExcludePurchased => self.kept.iter().map(|e| e.item).collect(),
            _ => Vec::new(),
        };
        seen.sort_unstable();
        let wanted = self.asked.iter().filter(|e| kind_weight(e.kind) > 0.0).map(|e| e.item);
        let truth: Vec<u32> = wanted.filter(|item| seen.binary_search(item).is_err()).collect();
        let history = self.kept.clone();
        let case = Case { history, ..case(Some(self.user as UserIdx), truth) };
        (case.truth.len > 0).then_some(case)
    }
}

fn baskets(events: &UserEvents, repeat: RepeatPolicy, rng: &mut StdRng) -> Held {
    let users = 0..events.users();
    let mut cuts: Vec<Cut> = users.clone().filter_map(|user| last_basket(events, user)).collect();
    // Users whose time orders nothing tell of baskets' insides, not of what comes
    // next: they are asked only where there are no others to speak of.
    let ordered = cuts.len() >= FEWEST_CASES;
    if !ordered {
        cuts = users.clone().filter_map(|user| random_part(events, user, rng)).collect();
        cuts.shuffle(rng);
    }
    // The newest baskets are most like those that will be asked for.
    cuts.sort_by_key(|cut| std::cmp::Reverse(cut.asked.last().map(|e| e.time_ms)));
    let (mut cases, mut wanted) = (Vec::new(), 0);
    let mut kept_of: Vec<Option<Vec<HistoryEvent>>> = vec![None; events.users()];
    for cut in cuts {
        if cases.len() == MOST_CASES || (cases.len() >= ENOUGH_CASES && wanted >= ENOUGH_WANTED) {
            break;
        }
        if let Some(case) = cut.case(repeat) {
            wanted += case.truth.len;
            cases.push((case, cut.asked.last().map_or(0, |e| e.time_ms)));
            kept_of[cut.user] = Some(cut.kept);
        }
    }
    cases.shuffle(rng);
    let kept_log = users.flat_map(|user| {
        let kept = kept_of[user].take().unwrap_or_else(|| events.of(user).to_vec());
        kept.into_iter().map(move |e| (user as UserIdx, e))
    });
    let log = UserEvents::new(events.users(), events.items(), kept_log.collect());
    let (cases, asked_ms) = cases.into_iter().unzip();
    Held { log, cases, asked_ms, ordered }
}

/// A user's last basket, and what came before it; none where nothing did.
fn last_basket(events: &UserEvents, user: usize) -> Option<Cut> {
    let history = events.of(user);
    let last = history.last()?.moment();
    let (asked, kept): (Vec<_>, Vec<_>) = history.iter().partition(|e| e.moment() == last);
    (!kept.is_empty()).then_some(Cut { user, kept, asked })
}

/// A part of a user's events, drawn at random, and the rest.
fn random_part(events: &UserEvents, user: usize, rng: &mut StdRng) -> Option<Cut> {
    let history = events.of(user);
    let mut places: Vec<usize> = (0..history.len()).collect();
    places.shuffle(rng);
    places.truncate((history.len() as f64 * RANDOM_HELD).round() as usize);
    let (asked, kept): (Vec<_>, Vec<_>) = (0..history.len()).partition(|i| places.contains(i));
    let [kept, asked] = [kept, asked].map(|part| part.iter().map(|&i| history[i]).collect());
    let cut = Cut { user, kept, asked };
    (!cut.asked.is_empty()).then_some(cut)
}

/// The newest sessions whole, each prefix a case.
fn sessions(events: &UserEvents, rng: &mut StdRng) -> Held {
    let all = (0..events.users()).flat_map(|user| {
        visits(events.of(user)).map(move |visit| (visit[visit.len() - 1].time_ms, user, visit))
    });
    let (mut sessions, single): (Vec<_>, Vec<_>) = all.partition(|(_, _, visit)| visit.len() > 1);
    sessions.sort_by_key(|&(end_ms, user, _)| (end_ms, user));
    let held = (sessions.len() as f64 * SESSIONS_HELD) as usize;
    let newest = sessions.split_off(sessions.len() - held);
    let asked = |(end_ms, _, visit): &(i64, usize, &[HistoryEvent])| {
        let end_ms = *end_ms;
        prefixes(visit).into_iter().map(move |case| (case, end_ms))
    };
    let mut cases: Vec<(Case, i64)> = newest.iter().flat_map(asked).collect();
    cases.shuffle(rng);
    cases.truncate(2 * ENOUGH_CASES);
    let (cases, asked_ms) = cases.into_iter().unzip();
    let kept = sessions.into_iter().chain(single);
    let log = kept.flat_map(|(_, user, visit)| visit.iter().map(move |&e| (user as UserIdx, e)));
    let log = UserEvents::new(events.users(), events.items(), log.collect());
    Held { log, cases, asked_ms, ordered: true }
}

/// Every prefix of a session that something follows.
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
