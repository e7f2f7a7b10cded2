//! The thread that stops what harms: an experiment whose variant converts certainly fewer users than its
//! guardrail allows, and a canary that does.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::state::State;
use super::steering::Steering;
use crate::domain::{Error, Generation, Result, now_ms};
use crate::experiment::definition::CANARY;
use crate::experiment::measurements::Canary;
use crate::experiment::units::Units;
use crate::experiment::{Experiment, ExperimentState, Method, Metric, Report, Variant, Verdict};
use crate::model::roles::Role;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(2);
/// The thread rests this many times as long as a look took.
const REST: u32 = 50;

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Guard {
    closing: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Guard {
    /// Starts the thread; `margin` is the guardrail of canaries.
    pub(super) fn start(state: Arc<State>, steering: Arc<Steering>, margin: f64) -> Result<Self> {
        let closing = Arc::new((Mutex::new(false), Condvar::new()));
        let of_thread = closing.clone();
        let thread = std::thread::Builder::new()
            .name("guard".into())
            .spawn(move || look_on(&of_thread, &state, &steering, margin))
            .map_err(|e| {
                Error::Storage(format!("the guard's thread does not start: {e}").into())
            })?;
        Ok(Self { closing, thread: Some(thread) })
    }
}

fn look_on(closing: &(Mutex<bool>, Condvar), state: &State, steering: &Steering, margin: f64) {
    let (is_closing, changed) = closing;
    let mut rest = INTERVAL;
    let mut guard = is_closing.lock();
    while !*guard {
        changed.wait_for(&mut guard, rest);
        if *guard {
            return;
        }
        let started = Instant::now();
        stop_harmful(steering);
        watch_canary(state, margin);
        rest = INTERVAL.max(started.elapsed() * REST);
    }
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
        ramp: Vec::new(),
        metric: Metric::Conversion,
        min_effect: 0.01,
        guardrail: Some(margin),
        state: ExperimentState::Running { since_ms: 0 },
        slot: 0.0,
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        *self.closing.0.lock() = true;
        self.closing.1.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the guard's thread panicked");
        }
    }
}
