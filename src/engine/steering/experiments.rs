//! Experiments: defined, started, stopped and adopted; each change is a new version of the whole set.

use std::sync::Arc;

use super::decisions::{Applied, Decidable, InStore, Steering};
use super::segments;
use crate::domain::quote::quoted;
use crate::domain::{Error, Result, Violation, limits, now_ms};
use crate::engine::in_force::EXPERIMENTS;
use crate::experiment::units::Units;
use crate::experiment::{
    Dimension, Experiment, ExperimentSet, ExperimentState, Group, Measurements, Report,
};
use crate::recommend::placement::PLAIN;
use crate::recommend::{Placement, PlacementSet, Shows};

/// Attempts to change a set that others change at the same time.
const ATTEMPTS: usize = 5;

impl Decidable for ExperimentSet {
    const KIND: &'static str = EXPERIMENTS;

    fn check(&self, _: &InStore<'_>) -> Result<(), Violation> {
        ExperimentSet::check(self)
    }

    fn warnings(&self, _: &InStore<'_>) -> Vec<String> {
        Vec::new()
    }
}

impl Steering {
    /// The experiments in force.
    pub fn experiments(&self) -> Arc<ExperimentSet> {
        self.state.in_force.experiments()
    }

    /// Creates an experiment as a draft, or changes it: a draft in everything, a running one in what does
    /// not move its users.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field, also where a running or stopped experiment would change.
    pub fn put_experiment(&self, given: &Experiment, note: &str) -> Result<Applied> {
        given.check().map_err(|violation| violation.within("experiment"))?;
        self.check_names(given).map_err(|violation| violation.within("experiment"))?;

        self.change(note, |set| {
            let mut given = given.clone();
            match set.get_mut(&given.name) {
                None => {
                    (given.state, given.slot) = (ExperimentState::Draft, 0.0);
                    set.experiments.push(given);
                }
                Some(known) => {
                    match &known.state {
                        ExperimentState::Draft => {}
                        ExperimentState::Running { .. } => known.check_successor(&given)?,
                        ExperimentState::Stopped { .. } => return Err(taken(&given.name).into()),
                    }
                    (given.state, given.slot) = (known.state.clone(), known.slot);
                    *known = given.clone();
                    if given.is_running() {
                        check_growth(set, &given)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Starts a draft.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotReady`] where it is no draft; [`Error::Invalid`] where its layer has
    /// no room for it, or another experiment on its placement is in another layer.
    pub fn start_experiment(&self, name: &str) -> Result<Applied> {
        self.change(&format!("start {name}"), |set| {
            let known = set.get(name).cloned().ok_or_else(|| unknown(name))?;
            if known.state != ExperimentState::Draft {
                return Err(Error::NotReady(format!("{} is no draft", quoted(name))));
            }
            self.check_names(&known)?;
            let slot = set.free_slot(&known)?;
            if let Some(known) = set.get_mut(name) {
                known.slot = slot;
                known.state = ExperimentState::Running { since_ms: now_ms() };
            }
            Ok(())
        })
    }

    /// Stops an experiment; its users see the placement as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotReady`] where it does not run.
    pub fn stop_experiment(&self, name: &str, reason: &str) -> Result<Applied> {
        limits::line("reason", reason, limits::MAX_TITLE_BYTES)?;
        self.change(&format!("stop {name}"), |set| {
            let known = set.get_mut(name).ok_or_else(|| unknown(name))?;
            let ExperimentState::Running { since_ms } = known.state else {
                return Err(Error::NotReady(format!("{} does not run", quoted(name))));
            };
            let (until_ms, reason) = (now_ms(), reason.to_owned());
            known.state = ExperimentState::Stopped { since_ms, until_ms, reason };
            Ok(())
        })
    }

    /// Gives the tested placement the settings of a variant, and stops the experiment.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the experiment; [`Error::Invalid`] for the variant, and where the placement
    /// is a method, which has no settings to replace.
    pub fn adopt_variant(&self, name: &str, variant: &str) -> Result<Applied> {
        let set = self.experiments();
        let experiment = set.get(name).ok_or_else(|| unknown(name))?;
        let at = experiment.variant_at(variant).ok_or_else(|| {
            Violation::new("variant", format!("must be one of {name}, was {}", quoted(variant)))
        })?;

        let source = &experiment.variants[at].placement;
        if !source.is_empty() && *source != experiment.placement {
            let version = self.newest_version::<PlacementSet>();
            let mut placements: PlacementSet = self.get(None)?;
            let gone = |name: &str| {
                let message = match name {
                    PLAIN => format!("cannot replace lists without a placement: ask for {source}"),
                    name => format!("needs the placement {}, which is gone", quoted(name)),
                };
                Violation::new("variant", message)
            };
            let taken = placements.get(source).cloned().ok_or_else(|| gone(source))?;
            let tested = &experiment.placement;
            let target = placements.placements.iter_mut().find(|of| of.name == *tested);
            let target = target.ok_or_else(|| gone(tested))?;
            let (own_name, title) = (target.name.clone(), target.title.clone());
            *target = Placement { name: own_name, title, ..taken };
            self.apply(&placements, format!("{variant} of {name} takes over"), Some(version))?;
        }

        let reason = format!("{variant} takes over");
        self.change(&reason, |set| {
            let known = set.get_mut(name).ok_or_else(|| unknown(name))?;
            known.state = match known.state {
                ExperimentState::Draft => ExperimentState::Draft,
                ExperimentState::Running { since_ms } => {
                    let (until_ms, reason) = (now_ms(), reason.clone());
                    ExperimentState::Stopped { since_ms, until_ms, reason }
                }
                ExperimentState::Stopped { since_ms, until_ms, .. } => {
                    ExperimentState::Stopped { since_ms, until_ms, reason: reason.clone() }
                }
            };
            Ok(())
        })
    }

    /// Removes an experiment that does not run. The name of one that ran stays taken.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotReady`] while it runs.
    pub fn delete_experiment(&self, name: &str) -> Result<Applied> {
        self.change(&format!("delete {name}"), |set| {
            let known = set.get(name).ok_or_else(|| unknown(name))?;
            if known.is_running() {
                return Err(Error::NotReady(format!("{} runs: stop it first", quoted(name))));
            }
            set.delete(name);
            Ok(())
        })
    }

    /// Sets the share of users that no experiment concerns.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is out of range.
    pub fn set_holdout(&self, share: f64) -> Result<Applied> {
        self.change("hold-out", |set| {
            set.holdout = share;
            Ok(())
        })
    }

    /// An experiment with its report; no report while no user saw a list of it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn experiment_report(&self, name: &str) -> Result<(Experiment, Option<Report>)> {
        let set = self.experiments();
        let experiment = set.get(name).ok_or_else(|| unknown(name))?;
        let until_ms = match experiment.state {
            ExperimentState::Stopped { until_ms, .. } => until_ms,
            _ => now_ms(),
        };
        let units = self.state.measurements.lock().units(name).map(Units::summary);
        let report = units.map(|units| Report::new(experiment, &units, until_ms));
        Ok((experiment.clone(), report))
    }

    /// The online metrics of the lists shown from `from_ms` to before `until_ms`.
    pub fn metrics(&self, from_ms: i64, until_ms: i64, by: &[Dimension]) -> Vec<Group> {
        let measurements: &Measurements = &self.state.measurements.lock();
        measurements.metrics().groups(from_ms, until_ms, by)
    }

    /// Checks that the segments and placements of an experiment are there, and that these show the same kind
    /// of list: one that is
    /// about an item of the page has nothing to show where there is none.
    fn check_names(&self, experiment: &Experiment) -> Result<(), Violation> {
        let insight = self.state.in_force.insight();
        segments::check(&insight, segments::of_experiment(experiment))?;
        let placements = self.state.in_force.placements();
        let mut tested = None;
        for (field, name) in experiment.placements() {
            let shows = match placements.get(name) {
                Some(placement) => placement.shows,
                None if name == PLAIN => Shows::Personal,
                None => {
                    let message = format!(
                        "must be a placement of the store, or \"{PLAIN}\", was {}",
                        quoted(name)
                    );
                    return Err(Violation::new(field, message));
                }
            };

            let kind = std::mem::discriminant(&shows);
            if *tested.get_or_insert(kind) != kind {
                let message = format!(
                    "must show the same kind of list as {}, was {}",
                    quoted(&experiment.placement),
                    quoted(name)
                );
                return Err(Violation::new(field, message));
            }
        }
        Ok(())
    }

    /// Changes the set in force, as its next version.
    fn change(
        &self,
        note: &str,
        change: impl Fn(&mut ExperimentSet) -> Result<()>,
    ) -> Result<Applied> {
        for attempt in 1.. {
            let version = self.newest_version::<ExperimentSet>();
            let mut set = ExperimentSet::clone(&self.experiments());
            change(&mut set)?;
            match self.apply(&set, note.to_owned(), Some(version)) {
                Err(Error::Conflict(_)) if attempt < ATTEMPTS => {}
                applied => return applied,
            }
        }
        unreachable!("the last attempt returns")
    }
}

/// Checks that a running experiment whose traffic grew does not reach into the next one's users.
fn check_growth(set: &ExperimentSet, grown: &Experiment) -> Result<(), Violation> {
    let end = grown.slot + grown.traffic;
    let others = set.running().filter(|of| of.layer == grown.layer && of.name != grown.name);
    let next = others.filter(|of| of.slot >= grown.slot).map(|of| of.slot).fold(1.0, f64::min);
    if end <= next + 1e-9 {
        return Ok(());
    }
    let message = format!(
        "must leave the users of the layer's other experiments where they are: at most {}",
        next - grown.slot
    );
    Err(Violation::new("traffic", message))
}

fn unknown(name: &str) -> Error {
    Error::NotFound { kind: "experiment", id: name.to_owned() }
}

fn taken(name: &str) -> Violation {
    Violation::new("name", format!("is that of a stopped experiment, was {}", quoted(name)))
}
