//! The rules and placements in force: those of the newest decisions, the rules compiled against the
//! catalogue. They are compiled again after a change of the catalogue, and when the time of a rule
//! begins or ends.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::domain::{Error, Result, now_ms};
use crate::live::Live;
use crate::recommend::PlacementSet;
use crate::rules::{CompiledRules, RuleSet};

/// The kinds of decisions.
pub(super) const RULES: &str = "rules";
pub(super) const PLACEMENTS: &str = "placements";

/// Arrivals are counted anew once in this time.
const ARRIVALS_MS: i64 = 60_000;

/// What is in force.
#[derive(Debug, Default)]
pub(super) struct InForce {
    rules: ArcSwap<CompiledRules>,
    placements: ArcSwap<PlacementSet>,
    seen: Mutex<Seen>,
}

/// What the rules in force were compiled from.
#[derive(Debug, Default)]
struct Seen {
    set: RuleSet,
    versions: [u32; 2],
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

    /// The placements in force.
    pub(super) fn placements(&self) -> Arc<PlacementSet> {
        self.placements.load_full()
    }

    /// Puts the newest decisions in force, as of now.
    ///
    /// # Errors
    /// [`Error::Storage`] where a decision cannot be read.
    pub(super) fn refresh(&self, live: &Live) -> Result<()> {
        let now_ms = now_ms();
        let mut seen = self.seen.lock();
        let (version, set) = newest::<RuleSet>(live, RULES, seen.versions[0])?;
        let is_new = set.is_some();
        if let Some(set) = set {
            seen.set = set;
            seen.versions[0] = version;
        }

        let (version, placements) = newest::<PlacementSet>(live, PLACEMENTS, seen.versions[1])?;
        if let Some(placements) = placements {
            seen.versions[1] = version;
            self.placements.store(Arc::new(placements));
        }

        let basis = Basis::of(&seen.set, live, now_ms);
        if is_new || basis != seen.basis {
            let compiled = CompiledRules::new(&seen.set, live, now_ms, &self.rules.load())?;
            self.rules.store(Arc::new(compiled));
            seen.basis = basis;
        }
        Ok(())
    }
}

/// The newest decision of a kind, where it is of another version than the one seen.
fn newest<T: DeserializeOwned>(live: &Live, kind: &str, seen: u32) -> Result<(u32, Option<T>)> {
    let decisions = live.decisions.read();
    let Some(decided) = decisions.newest(kind).filter(|decided| decided.version != seen).cloned()
    else {
        return Ok((seen, None));
    };
    drop(decisions);
    let version = decided.version;
    let value = serde_json::from_str(&decided.body).map_err(|error| {
        Error::Storage(format!("the {kind} of version {version} cannot be read: {error}").into())
    })?;
    Ok((version, Some(value)))
}
