//! What rules would change: the lists of some users of the store's own log, with and without them.

use std::collections::HashMap;
use std::sync::Arc;

use super::decisions::Steering;
use crate::domain::{ItemIdx, Result, UserIdx, limits, now_ms};
use crate::engine::serve::{Answer, RecommendRequest, Recommender};
use crate::rules::{CompiledRules, RuleSet};

/// Users where a request does not say, and at most.
const USERS: usize = 200;
/// Maximum number of users.
pub(super) const MAX_USERS: usize = 2_000;
/// Items that are named.
const NAMED: usize = 20;

/// What to try.
#[derive(Debug, Clone, Default)]
pub struct DryRunRequest {
    /// The placement; empty: "recommend".
    pub placement: String,
    /// Number of users; 0: 200.
    pub users: usize,
    /// Length of the lists; 0: the default.
    pub limit: usize,
    /// The time for the schedules, in milliseconds since 1970; none: now.
    pub at_ms: Option<i64>,
}

/// What rules would change, against those in force.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DryRun {
    /// Users whose lists were made.
    pub users: usize,
    /// Lists that change.
    pub changed: usize,
    /// Items that come into lists, with the number of lists, most first; at most 20.
    pub entering: Vec<(String, usize)>,
    /// Items that leave lists; at most 20.
    pub leaving: Vec<(String, usize)>,
    /// The share of the model's own score that the rules in force take from these lists.
    pub cost_before: f64,
    /// The same of the rules that are tried.
    pub cost_after: f64,
    /// What stands out in the rules.
    pub warnings: Vec<String>,
}

/// Scores of lists, summed.
#[derive(Default)]
struct Sums {
    plain: f64,
    before: f64,
    after: f64,
}

impl Steering {
    /// Tries rules on users of the store's log, evenly spread, and compares their lists with those of
    /// the rules in force. Nothing is written or counted as shown.
    ///
    /// # Errors
    /// As [`Steering::check`]; [`crate::domain::Error::NotReady`] before the first event.
    pub fn dry_run(
        &self,
        set: &RuleSet,
        asked: &DryRunRequest,
        recommender: &Recommender,
    ) -> Result<DryRun> {
        let most = MAX_USERS as f64;
        limits::number("users", asked.users as f64, 0.0, most)?;
        let warnings = self.check(set)?;
        let request = RecommendRequest {
            placement: asked.placement.clone(),
            limit: asked.limit,
            // Made anew, with rules and without, so that nothing else differs.
            explain: true,
            ..RecommendRequest::default()
        };
        let request = recommender.personal(request)?;
        let at_ms = asked.at_ms.unwrap_or_else(now_ms);
        limits::number("time", at_ms as f64, 0.0, limits::MAX_VALID_MS as f64)?;
        let live = &self.state.live;
        let none = Arc::new(CompiledRules::default());
        let before = self.state.in_force.rule_set();
        let before = Arc::new(CompiledRules::new(&before, live, at_ms, &none)?);
        let after = Arc::new(CompiledRules::new(set, live, at_ms, &none)?);

        let mut run = DryRun { warnings, ..DryRun::default() };
        let mut sums = Sums::default();
        let (mut entering, mut leaving) = (HashMap::new(), HashMap::new());
        for user in self.sample(asked.users) {
            let list = |rules: &Arc<CompiledRules>| {
                let rules = Some(rules.clone());
                recommender.dry_list(user, &RecommendRequest { rules, ..request.clone() })
            };
            let [plain, old, new] = [list(&none)?, list(&before)?, list(&after)?];
            sums.plain += plain.own_score();
            sums.before += old.own_score();
            sums.after += new.own_score();

            let (old, new) = (items(&old), items(&new));
            run.users += 1;
            run.changed += usize::from(old != new);
            count(&new, &old, &mut entering);
            count(&old, &new, &mut leaving);
        }

        let cost = |kept: f64| if sums.plain > 0.0 { 1.0 - kept / sums.plain } else { 0.0 };
        run.cost_before = cost(sums.before);
        run.cost_after = cost(sums.after);
        run.entering = self.most(entering);
        run.leaving = self.most(leaving);
        Ok(run)
    }

    /// Users with a history, evenly spread over all; 0 wanted stands for 200.
    pub(super) fn sample(&self, wanted: usize) -> Vec<UserIdx> {
        let wanted = if wanted == 0 { USERS } else { wanted };
        let live = &self.state.live;
        let users = live.users.read().len();
        let speaks = |&user: &UserIdx| {
            let profiles = live.profiles.read();
            profiles.consents(user) && live.histories.of(user, |history| !history.is_empty())
        };
        let speaking: Vec<UserIdx> = (0..users as UserIdx).filter(speaks).collect();
        let count = wanted.min(speaking.len());
        (0..count).map(|at| speaking[at * speaking.len() / count]).collect()
    }

    fn most(&self, counts: HashMap<ItemIdx, usize>) -> Vec<(String, usize)> {
        let mut counts: Vec<(ItemIdx, usize)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        counts.truncate(NAMED);
        let names = self.state.live.items.read();
        counts.into_iter().map(|(item, count)| (names.id(item).to_owned(), count)).collect()
    }
}

fn items(answer: &Answer) -> Vec<ItemIdx> {
    answer.entries.iter().filter_map(|entry| entry.idx).collect()
}

/// Counts the items of `list` that `other` lacks.
fn count(list: &[ItemIdx], other: &[ItemIdx], counts: &mut HashMap<ItemIdx, usize>) {
    for item in list.iter().filter(|item| !other.contains(item)) {
        *counts.entry(*item).or_default() += 1;
    }
}
