//! Experiments as people define them: which variants of a placement are compared, on whom.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::domain::quote::quoted;
use crate::domain::{Violation, limits};

/// Maximum number of experiments of a store, stopped ones included.
pub const MAX_EXPERIMENTS: usize = 200;
/// Maximum number of names of deleted experiments; the oldest are forgotten.
const MAX_DELETED: usize = 10_000;
/// Maximum number of variants of an experiment.
pub const MAX_VARIANTS: usize = 8;
/// Maximum number of saved segments of an experiment.
pub const MAX_SEGMENTS: usize = 50;
/// Maximum number of steps of a ramp.
pub const MAX_STEPS: usize = 20;
/// Maximum share of users that no experiment concerns.
const MAX_HOLDOUT: f64 = 0.5;
/// Shares that sum to 1 in thirds or sevenths do not do so exactly.
const ROUNDING: f64 = 1e-9;
/// The name under which users of the hold-out are recorded; no experiment has it.
pub const HOLDOUT: &str = "holdout";
/// The name of the comparison of a canary with the active model; no experiment has it.
pub const CANARY: &str = "canary";
/// Ends the variant of a list that a tester forced: it counts in no experiment.
pub const FORCED: char = '!';
/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// The experiments of a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ExperimentSet {
    /// The experiments, oldest first.
    pub experiments: Vec<Experiment>,
    /// Share of users that no experiment concerns.
    pub holdout: f64,
    /// Names of experiments that ran and were deleted, newest last: what was recorded under them must
    /// not be counted for another.
    pub deleted: Vec<String>,
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Its name, which no other experiment has or had.
    pub name: String,
    /// The placement whose lists it changes.
    pub placement: String,
    /// Experiments of one layer share its users; those of different layers overlap. Experiments on the
    /// same placement are in one layer.
    pub layer: String,
    /// How variants are compared.
    #[serde(default)]
    pub method: Method,
    /// What is compared, the control among them.
    pub variants: Vec<Variant>,
    /// The variant that the others are compared with.
    pub control: String,
    /// Share of the layer's users that take part, above 0, at most 1.
    pub traffic: f64,
    /// Saved segments: only users who are in one of them when a list is made take part in it. Empty: all.
    #[serde(default)]
    pub segments: Vec<String>,
    /// Smaller shares before that, by hours since the start.
    #[serde(default)]
    pub ramp: Vec<RampStep>,
    /// What decides.
    #[serde(default)]
    pub metric: Metric,
    /// The smallest lift that is worth having, as a share: .02 for 2 %.
    pub min_effect: f64,
    /// A variant whose conversion is certainly lower than the control's by more than this share stops
    /// the experiment; none: never.
    #[serde(default)]
    pub guardrail: Option<f64>,
    /// Where it stands. Set by the server.
    #[serde(default)]
    pub state: ExperimentState,
    /// Where its part of the layer begins. Set by the server.
    #[serde(default)]
    pub slot: f64,
}

/// How variants are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Each user sees one variant.
    #[default]
    Split,
    /// Each list interleaves two variants, and their items compete.
    Interleaving,
}

/// The metric that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of the users with a purchase.
    #[default]
    Conversion,
    /// Revenue by user, refunds taken back.
    Revenue,
    /// Clicks on the experiment's lists, by item shown.
    ClickThrough,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Metric; 3] = [Metric::Conversion, Metric::Revenue, Metric::ClickThrough];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Conversion => "conversion",
            Metric::Revenue => "revenue",
            Metric::ClickThrough => "click_through",
        }
    }
}

/// What some of the users see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name, unique in the experiment.
    pub name: String,
    /// Its share of the experiment's users; shares sum to 1.
    pub share: f64,
    /// The placement whose settings it uses; empty: the tested placement's own.
    #[serde(default)]
    pub placement: String,
}

/// A step of a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RampStep {
    /// It lasts until this many hours after the start.
    pub until_hours: f64,
    /// The share of the layer's users that take part, below the next step's.
    pub traffic: f64,
}

/// Where an experiment stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ExperimentState {
    /// It waits for its start, and may be changed.
    #[default]
    Draft,
    /// It runs since then, in milliseconds since 1970.
    Running {
        /// The start.
        since_ms: i64,
    },
    /// It has ended.
    Stopped {
        /// The start.
        since_ms: i64,
        /// The end.
        until_ms: i64,
        /// Why.
        reason: String,
    },
}

impl ExperimentSet {
    /// The experiment of this name.
    pub fn get(&self, name: &str) -> Option<&Experiment> {
        self.experiments.iter().find(|experiment| experiment.name == name)
    }

    /// The experiment of this name, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Experiment> {
        self.experiments.iter_mut().find(|experiment| experiment.name == name)
    }

    /// The experiments that run.
    pub fn running(&self) -> impl Iterator<Item = &Experiment> {
        self.experiments.iter().filter(|experiment| experiment.is_running())
    }

    /// Removes an experiment; the name of one that ran stays taken.
    pub fn delete(&mut self, name: &str) {
        let ran = self.get(name).is_some_and(|experiment| experiment.since_ms().is_some());
        self.experiments.retain(|experiment| experiment.name != name);
        if ran {
            self.deleted.push(name.to_owned());
            let excess = self.deleted.len().saturating_sub(MAX_DELETED);
            self.deleted.drain(..excess);
        }
    }

    /// Checks every limit but that placements are there: these are looked at where an experiment is put or
    /// started, so that the way to stop one is always open.
    ///
    /// # Errors
    /// The first field that breaks its limit, named with its experiment.
    pub fn check(&self) -> Result<(), Violation> {
        limits::count("experiments", self.experiments.len(), 0, MAX_EXPERIMENTS)?;
        limits::number("holdout", self.holdout, 0.0, MAX_HOLDOUT)?;
        let mut names = HashSet::from([HOLDOUT, CANARY]);
        names.extend(self.deleted.iter().map(String::as_str));
        for (at, experiment) in self.experiments.iter().enumerate() {
            let within = |violation: Violation| violation.within(&format!("experiments[{at}]"));
            experiment.check().map_err(within)?;
            if !names.insert(&experiment.name) {
                let message = format!("is taken, was {}", quoted(&experiment.name));
                return Err(within(Violation::new("name", message)));
            }
        }
        self.check_layers()
    }

    /// Checks that running experiments on a placement are in one layer, and fit in it.
    fn check_layers(&self) -> Result<(), Violation> {
        for one in self.running() {
            let apart =
                |other: &&Experiment| other.placement == one.placement && other.layer != one.layer;
            if let Some(other) = self.running().find(apart) {
                let message = format!(
                    "must be that of {}, {}: both change the placement {}, and layers overlap",
                    quoted(&other.name),
                    quoted(&other.layer),
                    quoted(&one.placement)
                );
                return Err(Violation::new("layer", message));
            }

            let of_layer = self.running().filter(|other| other.layer == one.layer);
            let traffic: f64 = of_layer.map(|experiment| experiment.traffic).sum();
            if traffic > 1.0 + ROUNDING {
                let message = format!(
                    "must leave the running experiments of the layer {} at most 100 % of its users, \
                     with it they take {:.0} %",
                    quoted(&one.layer),
                    100.0 * traffic
                );
                return Err(Violation::new("traffic", message));
            }
        }
        Ok(())
    }

    /// Where in its layer there is room for an experiment: the first gap of that length.
    ///
    /// # Errors
    /// The field `traffic`, where there is none.
    pub fn free_slot(&self, experiment: &Experiment) -> Result<f64, Violation> {
        let mut taken: Vec<(f64, f64)> = self
            .running()
            .filter(|other| other.layer == experiment.layer && other.name != experiment.name)
            .map(|other| (other.slot, other.slot + other.traffic))
            .collect();
        taken.sort_by(|a, b| a.0.total_cmp(&b.0));

        taken.push((1.0, 1.0));

        let mut from = 0.0;
        let mut largest: f64 = 0.0;
        for (begin, end) in taken {
            if begin - from >= experiment.traffic - ROUNDING {
                return Ok(from);
            }
            largest = largest.max(begin - from);
            from = end;
        }
        let message = format!(
            "must fit in the layer {} beside its running experiments, which leave {:.0} % of its users \
             in one piece, was {:.0} %",
            quoted(&experiment.layer),
            100.0 * largest,
            100.0 * experiment.traffic
        );
        Err(Violation::new("traffic", message))
    }
}

impl Experiment {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ExperimentState::Running { .. })
    }

    /// Its start, in milliseconds since 1970; none for a draft.
    pub fn since_ms(&self) -> Option<i64> {
        match self.state {
            ExperimentState::Draft => None,
            ExperimentState::Running { since_ms } | ExperimentState::Stopped { since_ms, .. } => {
                Some(since_ms)
            }
        }
    }

    /// The share of the layer's users that take part at a time.
    pub fn traffic_at(&self, now_ms: i64) -> f64 {
        let hours = (now_ms - self.since_ms().unwrap_or(now_ms)) as f64 / HOUR_MS as f64;
        let step = self.ramp.iter().find(|step| hours < step.until_hours);
        step.map_or(self.traffic, |step| step.traffic)
    }

    /// The position of the control among the variants.
    pub fn control_at(&self) -> usize {
        self.variants.iter().position(|variant| variant.name == self.control).unwrap_or(0)
    }

    /// The position of a variant by its name.
    pub fn variant_at(&self, name: &str) -> Option<usize> {
        self.variants.iter().position(|variant| variant.name == name)
    }

    /// The placements that it names: the field, and the name.
    pub fn placements(&self) -> impl Iterator<Item = (String, &str)> {
        let own = std::iter::once(("placement".to_owned(), self.placement.as_str()));
        let of_variants =
            self.variants.iter().enumerate().filter(|(_, of)| !of.placement.is_empty());
        let field = |at| format!("variants[{at}].placement");
        own.chain(of_variants.map(move |(at, of)| (field(at), of.placement.as_str())))
    }

    /// Checks every limit but that its placements are there.
    ///
    /// # Errors
    /// The field that breaks its limit.
    pub fn check(&self) -> Result<(), Violation> {
        limits::name("name", &self.name)?;
        limits::name("layer", &self.layer)?;
        limits::name("placement", &self.placement)?;
        limits::count("variants", self.variants.len(), 2, MAX_VARIANTS)?;
        if self.method == Method::Interleaving && self.variants.len() != 2 {
            let message = format!("must be two to interleave, are {}", self.variants.len());
            return Err(Violation::new("variants", message));
        }

        let mut names = HashSet::new();
        for (at, variant) in self.variants.iter().enumerate() {
            let within = |violation: Violation| violation.within(&format!("variants[{at}]"));
            limits::name("name", &variant.name).map_err(within)?;
            limits::number("share", variant.share, 0.001, 1.0).map_err(within)?;
            if !variant.placement.is_empty() {
                limits::name("placement", &variant.placement).map_err(within)?;
            }
            if !names.insert(&variant.name) {
                let message = format!("is another variant's too, was {}", quoted(&variant.name));
                return Err(within(Violation::new("name", message)));
            }
        }

        let shares: f64 = self.variants.iter().map(|variant| variant.share).sum();
        if (shares - 1.0).abs() > ROUNDING.max(1e-6) {
            let message = format!("must have shares that sum to 1, sum to {shares}");
            return Err(Violation::new("variants", message));
        }
        if self.variant_at(&self.control).is_none() {
            let message = format!("must name one of the variants, was {}", quoted(&self.control));
            return Err(Violation::new("control", message));
        }
        self.check_numbers()
    }

    fn check_numbers(&self) -> Result<(), Violation> {
        limits::number("traffic", self.traffic, 0.001, 1.0)?;
        limits::count("segments", self.segments.len(), 0, MAX_SEGMENTS)?;
        limits::number("min_effect", self.min_effect, 0.001, 10.0)?;
        if let Some(margin) = self.guardrail {
            limits::number("guardrail", margin, 0.0, 1.0)?;
        }

        limits::count("ramp", self.ramp.len(), 0, MAX_STEPS)?;
        let mut before = RampStep { until_hours: 0.0, traffic: 0.0 };
        for (at, step) in self.ramp.iter().enumerate() {
            let within = |violation: Violation| violation.within(&format!("ramp[{at}]"));
            limits::number("until_hours", step.until_hours, 0.0, 24.0 * 365.0).map_err(within)?;
            limits::number("traffic", step.traffic, 0.0, self.traffic).map_err(within)?;
            if step.until_hours <= before.until_hours || step.traffic < before.traffic {
                let message = "must be later than the step before, with no smaller share";
                return Err(within(Violation::new("until_hours", message)));
            }
            before = *step;
        }
        Ok(())
    }

    /// Checks that nothing of a running experiment changes but its traffic, and that only upwards: users
    /// must not move from one variant to another.
    ///
    /// # Errors
    /// The field that may not change.
    pub fn check_successor(&self, next: &Self) -> Result<(), Violation> {
        let same = [
            ("placement", self.placement == next.placement),
            ("layer", self.layer == next.layer),
            ("method", self.method == next.method),
            ("variants", self.variants == next.variants),
            ("control", self.control == next.control),
            ("ramp", self.ramp == next.ramp),
            ("metric", self.metric == next.metric),
            ("segments", self.segments == next.segments),
        ];

        if let Some((field, _)) = same.iter().find(|(_, same)| !same) {
            let message =
                format!("must stay as it is: {} runs; stop it and start another", self.name);
            return Err(Violation::new(*field, message));
        }
        if next.traffic < self.traffic {
            let message = format!(
                "must not shrink while {} runs: was {}, became {}",
                self.name, self.traffic, next.traffic
            );
            return Err(Violation::new("traffic", message));
        }
        Ok(())
    }
}
