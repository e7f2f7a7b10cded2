//! What may be concluded from an experiment's figures, on any day.

use super::definition::{Experiment, Metric};
use super::figures::{Preference, VariantReport, percent};
use super::statistics::Interval;

/// Units that each variant needs before anything is concluded: the methods are asymptotic.
const MIN_UNITS: u64 = 100;
/// Below this probability of the units' shares a report is void.
const MISMATCH: f64 = 0.001;

/// What may be concluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A variant has too few units.
    TooEarly,
    /// Units arrived in other shares than planned: something loses users of one variant.
    Void,
    /// Nothing yet.
    Undecided,
    /// This variant is better than the control.
    Better(String),
    /// Every variant is worse than the control.
    Worse,
    /// No variant is better by as much as is worth having.
    Futile,
    /// This variant's conversion is lower than the guardrail allows.
    Harmful(String),
}

/// The verdict of a split.
pub(super) fn verdict(
    experiment: &Experiment,
    variants: &[VariantReport],
    sample_ratio: f64,
) -> Verdict {
    let too_early = variants.iter().any(|variant| variant.units < MIN_UNITS);
    let interval = |variant: &VariantReport, metric: Metric| {
        let figure = variant.figures.iter().find(|figure| figure.metric == metric)?;
        figure.lift.map(|lift| lift.deciding().always_valid)
    };
    let others = || variants.iter().filter(|variant| variant.name != experiment.control);
    // What harms is stopped even where shares are off: harm may be why.
    if let Some(margin) = experiment.guardrail.filter(|_| !too_early) {
        let harms = |variant: &&VariantReport| {
            interval(variant, Metric::Conversion).is_some_and(|of| of.high < -margin)
        };
        if let Some(harmful) = others().find(harms) {
            return Verdict::Harmful(harmful.name.clone());
        }
    }

    if sample_ratio < MISMATCH {
        return Verdict::Void;
    }
    if too_early {
        return Verdict::TooEarly;
    }

    let lifts: Vec<(&VariantReport, Interval)> =
        others().filter_map(|v| Some((v, interval(v, experiment.metric)?))).collect();
    let best = lifts.iter().max_by(|(_, a), (_, b)| a.low.total_cmp(&b.low));
    match best {
        Some((variant, of)) if of.low > 0.0 => Verdict::Better(variant.name.clone()),
        Some(_) if lifts.iter().all(|(_, of)| of.high < 0.0) => Verdict::Worse,
        Some(_) if lifts.iter().all(|(_, of)| of.high < experiment.min_effect) => Verdict::Futile,
        _ => Verdict::Undecided,
    }
}

/// The verdict of an interleaving, by clicks.
pub(super) fn preferred(experiment: &Experiment, preference: &Preference) -> Verdict {
    let of = preference.clicks.always_valid;
    let control = experiment.control_at();
    // Items of the first variant are the first team's.
    let (second, first) = (&experiment.variants[1].name, &experiment.variants[0].name);
    match preference.units {
        units if units < MIN_UNITS => Verdict::TooEarly,
        _ if of.low > 0.0 && control == 0 => Verdict::Better(second.clone()),
        _ if of.high < 0.0 && control == 1 => Verdict::Better(first.clone()),
        _ if of.low > 0.0 || of.high < 0.0 => Verdict::Worse,
        _ => Verdict::Undecided,
    }
}

/// A verdict as a sentence.
pub(super) fn sentence(
    verdict: &Verdict,
    experiment: &Experiment,
    sample_ratio: f64,
    days_left: Option<f64>,
) -> String {
    let control = &experiment.control;
    let left = days_left.map_or_else(String::new, |days| {
        format!(" At today's rate the planned number of users is reached in {days:.0} days.")
    });

    match verdict {
        Verdict::TooEarly => {
            format!("It is too early: a variant has fewer than {MIN_UNITS} users.")
        }
        Verdict::Void => format!(
            "The report is void: users arrived in other shares than planned (p = {:.1e}). Something \
             loses users of one variant; find it and start again.",
            sample_ratio
        ),
        Verdict::Undecided => format!("Nothing is certain yet.{left}"),
        Verdict::Better(variant) => format!("{variant} is better than {control}."),
        Verdict::Worse => format!("{control} is better than every other variant."),
        Verdict::Futile => format!(
            "No variant is better than {control} by {}: there is nothing to wait for.",
            percent(experiment.min_effect)
        ),
        Verdict::Harmful(variant) => format!(
            "{variant} converts fewer users than {control} by more than the guardrail of {}.",
            percent(experiment.guardrail.unwrap_or_default())
        ),
    }
}
