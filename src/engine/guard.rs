//! Stops what harms: an experiment whose variant converts certainly fewer users than its
//! guardrail allows, and a canary that does.

use std::sync::Arc;
use std::time::Duration;

use super::periodic::Periodic;
use super::state::State;
use super::steering::Steering;
use crate::domain::{Generation, Result, now_ms};
use crate::experiment::definition::CANARY;
use crate::experiment::measurements::Canary;
use crate::experiment::units::Units;
use crate::experiment::{Experiment, ExperimentState, Method, Metric, Report, Variant, Verdict};
use crate::model::roles::Role;

/// Time between two looks, and the multiple of the time that a look took.
const REST: (Duration, u32) = (Duration::from_secs(2), 50);

/// Starts the thread; `margin` is the guardrail of canaries.
pub(super) fn start(state: Arc<State>, steering: Arc<Steering>, margin: f64) -> Result<Periodic> {
    Periodic::start("guard", REST, move || {
        stop_harmful(&steering);
        watch_canary(&state, margin);
    })
}

/// Stops running experiments that break their guardrail.
fn stop_harmful(steering: &Steering) {
    let set = steering.experiments();
    for experiment in set.running().filter(|experiment| experiment.guardrail.is_some()) {
        let Ok((_, Some(report))) = steering.experiment_report(&experiment.name) else { continue };
        if let Verdict::Harmful(variant) = &report.verdict {
            let name = &experiment.name;
            tracing::warn!(experiment = name, variant, "the guardrail stops an experiment");
            if let Err(error) = steering.stop_experiment(name, &report.sentence) {
                tracing::error!(experiment = name, %error, "the experiment is not stopped");
            }
        }
    }
}

/// Withdraws a canary that converts certainly fewer users than the active model.
fn watch_canary(state: &State, margin: f64) {
    let Some(active) = state.models.active() else { return };
    let active = active.manifest.generation;
    let serving = state.models.serving();
    let canary = serving.iter().find_map(|model| match model.role {
        Role::Canary(share) => Some((model.manifest.generation, share)),
        _ => None,
    });
    let watched = canary.map(|(generation, share)| Canary { generation, share, active });
    state.measurements.lock().watch_canary(watched);

    let Some((generation, share)) = canary.filter(|_| margin < 1.0) else { return };
    let comparison = comparison(share, margin);
    let units = state.measurements.lock().units(CANARY).map(Units::summary);
    let report = units.map(|units| Report::new(&comparison, &units, now_ms()));
    if let Some(Report { verdict: Verdict::Harmful(_), sentence, .. }) = report {
        withdraw(state, generation, &sentence);
    }
}

fn withdraw(state: &State, generation: Generation, why: &str) {
    tracing::warn!(generation, why, "the guardrail withdraws the canary");
    if let Err(error) = state.models.assign(generation, Role::Staged) {
        tracing::error!(generation, %error, "the canary is not withdrawn");
    }
}

/// A canary as an experiment.
fn comparison(share: f64, margin: f64) -> Experiment {
    let variant = |name: &str, share| Variant { name: name.into(), share, placement: "".into() };
    Experiment {
        name: CANARY.into(),
        placement: String::new(),
        layer: String::new(),
        method: Method::Split,
        variants: vec![variant("active", 1.0 - share), variant("canary", share)],
        control: "active".into(),
        traffic: 1.0,
        segments: Vec::new(),
        ramp: Vec::new(),
        metric: Metric::Conversion,
        min_effect: 0.01,
        guardrail: Some(margin),
        state: ExperimentState::Running { since_ms: 0 },
        slot: 0.0,
    }
}
