//! The rules and placements in force: those of the newest decisions, the rules compiled against the
//! catalogue. They are compiled again after a change of the catalogue, and when the time of a rule
//! begins or ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::domain::{Result, now_ms};
use crate::experiment::ExperimentSet;
use crate::insight::InsightSettings;
use crate::live::{Decided, Live};
use crate::recommend::{PlacementSet, RuleChoice};
use crate::rules::{CompiledRules, RuleSet};

/// The kinds of decisions.
pub(super) const RULES: &str = "rules";
pub(super) const PLACEMENTS: &str = "placements";
pub(super) const EXPERIMENTS: &str = "experiments";
pub(super) const INSIGHT: &str = "insight";

/// Arrivals are counted anew once in this time.
const ARRIVALS_MS: i64 = 60_000;

/// What is in force.
#[derive(Debug, Default)]
pub(super) struct InForce {
    rules: ArcSwap<CompiledRules>,
    placements: ArcSwap<PlacementSet>,
    experiments: ArcSwap<ExperimentSet>,
    insight: ArcSwap<InsightSettings>,
    /// Earlier versions of the rules that placements name.
    earlier_rules: ArcSwap<BTreeMap<u32, Arc<CompiledRules>>>,
    seen: Mutex<Seen>,
}

/// What the rules in force were compiled from.
#[derive(Debug, Default)]
struct Seen {
    set: RuleSet,
    versions: [u32; 4],
    basis: Basis,
}

/// Where this is the same, compiling again would change nothing.
#[derive(Debug, Default, PartialEq)]
struct Basis {
    /// Changes of the catalogue, and number of items, where there are rules.
    catalogue: (u64, usize),
    /// Which rules are in their time.
    holding: Vec<bool>,
    /// The time, where a rule is of arrivals.
    arrivals: i64,
}

impl Basis {
    fn of(set: &RuleSet, live: &Live, now_ms: i64) -> Self {
        if set.rules.is_empty() {
            return Self::default();
        }
        // A set that is in force was checked.
        let zone = set.zone().unwrap_or(jiff::tz::TimeZone::UTC);
        let rules = set.rules.iter();
        let of_arrivals = rules.clone().any(|rule| rule.items.arrived_within_days > 0);
        Self {
            catalogue: (live.catalogue.read().changes(), live.items.read().len()),
            holding: rules.map(|rule| rule.when.schedule.holds(now_ms, &zone)).collect(),
            arrivals: if of_arrivals { now_ms / ARRIVALS_MS } else { 0 },
        }
    }
}

impl InForce {
    /// The rules in force.
    pub(super) fn rules(&self) -> Arc<CompiledRules> {
        self.rules.load_full()
    }

    /// The set that the rules in force come from, those out of their time included.
    pub(super) fn rule_set(&self) -> RuleSet {
        self.seen.lock().set.clone()
    }

    /// The placements in force.
    pub(super) fn placements(&self) -> Arc<PlacementSet> {
        self.placements.load_full()
    }

    /// The experiments in force.
    pub(super) fn experiments(&self) -> Arc<ExperimentSet> {
        self.experiments.load_full()
    }

    /// The segments and tiers in force.
    pub(super) fn insight(&self) -> Arc<InsightSettings> {
        self.insight.load_full()
    }

    /// An earlier version of the rules that a placement names; none where it is not kept.
    pub(super) fn earlier_rules(&self, version: u32) -> Option<Arc<CompiledRules>> {
        self.earlier_rules.load().get(&version).cloned()
    }

    /// Puts the newest decisions in force, as of now.
    ///
    /// # Errors
    /// [`crate::domain::Error::Invalid`] where the rules' time zone is not known.
    pub(super) fn refresh(&self, live: &Live) -> Result<()> {
        let now_ms = now_ms();
        let mut seen = self.seen.lock();
        let set = newest::<RuleSet>(live, RULES, &mut seen.versions[0]);
        let is_new = set.is_some();
        if let Some(set) = set {
            seen.set = set;
        }

        let placements = newest(live, PLACEMENTS, &mut seen.versions[1]);
        let are_new_placements = follow(&self.placements, placements);
        follow(&self.experiments, newest(live, EXPERIMENTS, &mut seen.versions[2]));
        follow(&self.insight, newest(live, INSIGHT, &mut seen.versions[3]));

        let basis = Basis::of(&seen.set, live, now_ms);
        if is_new || basis != seen.basis {
            let compiled = CompiledRules::new(&seen.set, live, now_ms, &self.rules.load())?;
            self.rules.store(Arc::new(compiled));
        }
        if are_new_placements || basis != seen.basis {
            self.earlier_rules.store(Arc::new(self.compile_earlier(live, now_ms)));
        }
        seen.basis = basis;
        Ok(())
    }

    /// The earlier versions of the rules that placements name, as far as they can be read.
    fn compile_earlier(&self, live: &Live, now_ms: i64) -> BTreeMap<u32, Arc<CompiledRules>> {
        let placements = self.placements.load();
        let named = placements.placements.iter().filter_map(|placement| match placement.rules {
            RuleChoice::Version(version) => Some(version),
            RuleChoice::InForce | RuleChoice::Without => None,
        });
        let compiled = named.filter_map(|version| {
            let decisions = live.decisions.read();
            let decided = decisions.versions(RULES).find(|decided| decided.version == version);
            let set: RuleSet = serde_json::from_str(&decided?.body).ok()?;
            drop(decisions);
            let compiled =
                CompiledRules::new(&set, live, now_ms, &CompiledRules::default()).ok()?;
            Some((version, Arc::new(compiled)))
        });
        compiled.collect()
    }
}

/// Puts a decision in force, if there is one; returns whether there was.
fn follow<T>(in_force: &ArcSwap<T>, decided: Option<T>) -> bool {
    let is_new = decided.is_some();
    if let Some(decided) = decided {
        in_force.store(Arc::new(decided));
    }
    is_new
}

/// The newest decision of a kind that can be read, where the newest is of another version than the one
/// seen, which it becomes. One that cannot be read was written by a newer server: the one before it stays in
/// force.
fn newest<T: DeserializeOwned>(live: &Live, kind: &str, seen: &mut u32) -> Option<T> {
    let decisions = live.decisions.read();
    let newest = decisions.newest(kind).map_or(0, |decided| decided.version);
    if newest == *seen {
        return None;
    }
    *seen = newest;
    let versions: Vec<Decided> = decisions.versions(kind).cloned().collect();
    drop(decisions);

    for decided in versions {
        match serde_json::from_str(&decided.body) {
            Ok(value) => return Some(value),
            Err(error) => {
                let version = decided.version;
                tracing::error!(kind, version, %error, "a decision cannot be read and is not in force");
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Reader;
    use crate::store::{Decision, Record};

    #[test]
    fn a_decision_that_cannot_be_read_leaves_the_one_before_in_force() {
        let (live, mut writer) = Live::new(1, Vec::new(), Reader::default());
        let mut decide = |version: u32, body: &str| {
            let (kind, note) = (RULES, "");
            let decision = Decision { kind, version, time_ms: 1, note, body };
            live.apply(&mut writer, u64::from(version), &Record::Decision(decision));
        };
        decide(1, r#"{"time_zone":"Europe/Paris"}"#);
        decide(2, r#"{"of_tomorrow":true}"#);
        let mut seen = 0;
        let set = newest::<RuleSet>(&live, RULES, &mut seen);
        assert_eq!((seen, set.unwrap().time_zone.as_str()), (2, "Europe/Paris"));
        // It is not read again and again.
        assert_eq!((newest::<RuleSet>(&live, RULES, &mut seen), seen), (None, 2));
        let mut none = 0;
        assert_eq!((newest::<PlacementSet>(&live, PLACEMENTS, &mut none), none), (None, 0));
    }
}
