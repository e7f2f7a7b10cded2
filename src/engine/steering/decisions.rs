//! Writes decisions, lists their versions, and takes them back.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{empty, segments};
use crate::domain::quote::quoted;
use crate::domain::{Error, Result, Violation, limits, now_ms};
use crate::engine::in_force::{INSIGHT, PLACEMENTS, RULES};
use crate::engine::state::State;
use crate::engine::write::{NewDecision, Write, Writer};
use crate::insight::InsightSettings;
use crate::live::Decided;
use crate::recommend::PlacementSet;
use crate::rules::{CompiledRules, RuleSet, TargetReport};

/// Maximum length of a decision as JSON, in bytes.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Something that people decide, whole.
pub trait Decidable: Serialize + DeserializeOwned + Default {
    /// What kind of decision it is.
    const KIND: &'static str;

    /// Checks it in a store.
    ///
    /// # Errors
    /// The field that breaks its limit.
    fn check(&self, state: &InStore<'_>) -> Result<(), Violation>;

    /// What stands out in it, in words.
    fn warnings(&self, state: &InStore<'_>) -> Vec<String>;
}

/// The store that a decision is for.
#[derive(Debug)]
pub struct InStore<'a>(pub(super) &'a State);

impl Decidable for RuleSet {
    const KIND: &'static str = RULES;

    fn check(&self, InStore(state): &InStore<'_>) -> Result<(), Violation> {
        RuleSet::check(self, now_ms(), &state.in_force.placements().names())?;
        segments::check(&state.in_force.insight(), segments::of_rules(self))
    }

    fn warnings(&self, InStore(state): &InStore<'_>) -> Vec<String> {
        let live = &state.live;
        let now_ms = now_ms();
        let mut warnings = CompiledRules::warnings(self, live, now_ms);
        let placements = state.in_force.placements();
        warnings.extend(empty::by_rules(self, &placements, live, now_ms));
        warnings
    }
}

impl Decidable for PlacementSet {
    const KIND: &'static str = PLACEMENTS;

    /// Refuses also a set without a placement of today that rules name.
    fn check(&self, InStore(state): &InStore<'_>) -> Result<(), Violation> {
        PlacementSet::check(self)?;
        segments::check(&state.in_force.insight(), segments::of_placements(self))?;
        let names = self.names();
        let today = state.in_force.placements().names();
        let set = state.in_force.rule_set();
        for rule in set.rules.iter().filter(|rule| !rule.disabled) {
            let mut named = rule.when.placements.iter();
            let lost = named.find(|name| today.contains(name) && !names.contains(name));
            if let Some(lost) = lost {
                let message = format!(
                    "must hold {}, which the rule {} names",
                    quoted(lost),
                    quoted(&rule.name)
                );
                return Err(Violation::new("placements", message));
            }
        }

        let running = state.in_force.experiments();
        for experiment in running.running() {
            let own = [&experiment.placement].into_iter();
            let of_variants = experiment.variants.iter().map(|variant| &variant.placement);
            let mut named = own.chain(of_variants).filter(|name| !name.is_empty());
            if let Some(lost) = named.find(|name| !names.contains(name)) {
                let message = format!(
                    "must hold {}, which the running experiment {} uses",
                    quoted(lost),
                    quoted(&experiment.name)
                );
                return Err(Violation::new("placements", message));
            }
        }
        Ok(())
    }

    fn warnings(&self, InStore(state): &InStore<'_>) -> Vec<String> {
        let gone = state.in_force.placements();
        let gone = gone.placements.iter().filter(|old| self.get(&old.name).is_none());
        let warning = |name: &str| format!("{} is gone: requests for it are refused", quoted(name));
        let mut warnings: Vec<String> = gone.map(|old| warning(&old.name)).collect();
        warnings.extend(empty::by_conditions(self, &state.live, now_ms()));
        let rules = state.in_force.rule_set();
        warnings.extend(empty::by_rules(&rules, self, &state.live, now_ms()));
        warnings
    }
}

impl Decidable for InsightSettings {
    const KIND: &'static str = INSIGHT;

    /// Refuses also settings without a saved segment that lists ask for.
    fn check(&self, InStore(state): &InStore<'_>) -> Result<(), Violation> {
        InsightSettings::check(self)?;
        segments::check_kept(self, &state.in_force)
    }

    fn warnings(&self, _: &InStore<'_>) -> Vec<String> {
        Vec::new()
    }
}

/// A decision that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its version.
    pub version: u32,
    /// What stands out in it.
    pub warnings: Vec<String>,
}

/// Decides what lists show.
#[derive(Debug)]
pub struct Steering {
    pub(super) state: Arc<State>,
    writer: Writer,
    /// Held from the check of a decision until it is in force.
    deciding: Mutex<()>,
}

impl Steering {
    pub(in crate::engine) fn new(state: Arc<State>, writer: Writer) -> Self {
        Self { state, writer, deciding: Mutex::default() }
    }

    /// Checks a decision; writes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field that breaks its limit.
    pub fn check<T: Decidable>(&self, decided: &T) -> Result<Vec<String>> {
        let store = InStore(&self.state);
        decided.check(&store)?;
        Ok(decided.warnings(&store))
    }

    /// Checks a decision and puts it in force, durably; the next list follows it. Blocks: call it from
    /// a thread that may wait for the disk.
    ///
    /// # Errors
    /// As [`Steering::check`]; [`Error::Conflict`] where another version than `expected_version` is in
    /// force; [`Error::Storage`] where the disk fails.
    pub fn apply<T: Decidable>(
        &self,
        decided: &T,
        note: String,
        expected_version: Option<u32>,
    ) -> Result<Applied> {
        limits::line("note", &note, limits::MAX_TITLE_BYTES)?;
        let body = serde_json::to_string(decided).map_err(|e| Error::Storage(e.into()))?;
        if body.len() > MAX_BODY_BYTES {
            let message =
                format!("must take at most {MAX_BODY_BYTES} bytes as JSON, take {}", body.len());
            return Err(Violation::new(T::KIND, message).into());
        }

        // What stands out is looked for first: it may take long, and other decisions need not wait.
        let warnings = self.check(decided)?;
        let _deciding = self.deciding.lock();
        decided.check(&InStore(&self.state))?;
        let version = self.write::<T>(body, note, expected_version)?;
        Ok(Applied { version, warnings })
    }

    /// Puts an earlier version in force again, as a new version: `version`, or the one before the
    /// newest. The way back is always open: what would be refused today is a warning here.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the version is not kept; [`Error::Invalid`] where this server cannot
    /// read it; as [`Steering::apply`] for the disk.
    pub fn roll_back<T: Decidable>(&self, version: Option<u32>) -> Result<Applied> {
        let _deciding = self.deciding.lock();
        let (newest, version, body) = {
            let decisions = self.state.live.decisions.read();
            let newest = decisions.newest(T::KIND).map_or(0, |decided| decided.version);
            let version = version.unwrap_or(newest.saturating_sub(1));
            let body = decisions.versions(T::KIND).find(|decided| decided.version == version);
            (newest, version, body.map(|decided| decided.body.to_string()))
        };
        // Before the first version there is nothing.
        let empty = || serde_json::to_string(&T::default()).ok().filter(|_| version == 0);
        let body = body
            .or_else(empty)
            .filter(|_| newest > 0)
            .ok_or_else(|| Error::NotFound { kind: "version", id: version.to_string() })?;

        let decided: T = serde_json::from_str(&body).map_err(|error| {
            let message = format!("holds what this server cannot put in force: {error}");
            Violation::new("version", message)
        })?;
        let store = InStore(&self.state);
        let refused = decided.check(&store).err();
        let mut warnings: Vec<String> =
            refused.map(|why| format!("would be refused today: {why}")).into_iter().collect();
        warnings.extend(decided.warnings(&store));

        let note = format!("back to version {version}");
        let version = self.write::<T>(body, note, None)?;
        Ok(Applied { version, warnings })
    }

    fn write<T: Decidable>(
        &self,
        body: String,
        note: String,
        expected_version: Option<u32>,
    ) -> Result<u32> {
        let (kind, time_ms) = (T::KIND, now_ms());
        let decision = NewDecision { kind, expected_version, time_ms, note, body };
        self.writer.write_blocking(Write::Decide(decision))?;
        self.state.in_force.refresh(&self.state.live)?;
        Ok(self.newest_version::<T>())
    }

    /// The version in force; 0 before the first.
    pub(super) fn newest_version<T: Decidable>(&self) -> u32 {
        self.newest::<T>().map_or(0, |decided| decided.version)
    }

    fn newest<T: Decidable>(&self) -> Option<Decided> {
        self.state.live.decisions.read().newest(T::KIND).cloned()
    }

    /// The versions of a kind that are kept, newest first.
    pub fn versions<T: Decidable>(&self) -> Vec<Decided> {
        self.state.live.decisions.read().versions(T::KIND).cloned().collect()
    }

    /// A version whole: the one in force where none is named; version 0 is empty.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the version is not kept; [`Error::Storage`] where it cannot be read.
    pub fn get<T: Decidable>(&self, version: Option<u32>) -> Result<T> {
        let versions = self.versions::<T>();
        let found = match version {
            None => versions.first(),
            Some(version) => versions.iter().find(|decided| decided.version == version),
        };
        match (found, version.unwrap_or(0)) {
            (Some(decided), _) => {
                serde_json::from_str(&decided.body).map_err(|error| Error::Storage(error.into()))
            }
            (None, 0) => Ok(T::default()),
            (None, version) => Err(Error::NotFound { kind: "version", id: version.to_string() }),
        }
    }

    /// What the targets in force have done, by their rules' names, with the shares that they hold.
    pub fn targets(&self) -> Vec<(String, f64, TargetReport)> {
        let rules = self.state.in_force.rules();
        let report = |compiled: &crate::rules::compiled::CompiledRule| {
            let target = compiled.target.as_ref()?;
            Some((compiled.rule.name.clone(), target.share(), target.report()))
        };
        rules.rules().iter().filter_map(report).collect()
    }
}
