//! The figures of an experiment's variants, each with its intervals and a sentence.

use super::definition::{Experiment, Metric, Variant};
use super::statistics::sample::adjusted;
use super::statistics::{Estimate, Interval, Sample};
use super::units::Summary;

/// The level of all intervals: 95 %.
pub const ALPHA: f64 = 0.05;
/// Units of the control that bought, or clicked, before a lift is a share of it; and of a variant before the
/// past adjusts it.
const MIN_POSITIVE: u64 = 20;

/// A variant's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantReport {
    /// Its name.
    pub name: String,
    /// Its planned share.
    pub share: f64,
    /// Units that saw its lists.
    pub units: u64,
    /// A figure for every metric.
    pub figures: Vec<Figure>,
}

/// A metric of a variant.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The metric.
    pub metric: Metric,
    /// Its value.
    pub value: Estimate,
    /// Its lift over the control; none for the control, and where the control has none of it.
    pub lift: Option<Lift>,
    /// The same as a sentence.
    pub sentence: String,
}

/// A lift over the control, as a share of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lift {
    /// As it is.
    pub plain: Intervals,
    /// Adjusted by what the units did before the experiment; none for click-through.
    pub adjusted: Option<Intervals>,
}

/// An estimate with both kinds of intervals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intervals {
    /// The estimate.
    pub value: f64,
    /// For a report that is read once, at a planned time.
    pub fixed_horizon: Interval,
    /// For a report that may be read daily.
    pub always_valid: Interval,
}

/// How much users prefer the second of two interleaved variants, from −1 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Preference {
    /// By the sign of clicks.
    pub clicks: Intervals,
    /// By revenue, in the store's currency by user.
    pub revenue: Intervals,
    /// Users.
    pub units: u64,
}

impl Intervals {
    /// Of a lift: nothing is lower than nothing.
    fn of_lift(lift: &Estimate, comparisons: usize) -> Self {
        let Self { value, fixed_horizon, always_valid } = Self::new(lift, comparisons);
        let cut = |of: Interval| Interval { low: of.low.max(-1.0), high: of.high.max(-1.0) };
        Self { value, fixed_horizon: cut(fixed_horizon), always_valid: cut(always_valid) }
    }

    fn new(estimate: &Estimate, comparisons: usize) -> Self {
        let alpha = ALPHA / comparisons.max(1) as f64;
        Self {
            value: estimate.value,
            fixed_horizon: estimate.fixed_horizon(alpha),
            always_valid: estimate.always_valid(alpha),
        }
    }
}

impl Lift {
    /// The lift of a variant's sample over the control's, among that many comparisons (Bonferroni); none
    /// while too little happened in the control for a share of it to mean anything.
    fn new(metric: Metric, sample: &Sample, control: &Sample, comparisons: usize) -> Option<Self> {
        if control.positive() < MIN_POSITIVE {
            return None;
        }
        if metric == Metric::ClickThrough {
            let lift = sample.ratio()?.lift_over(&control.ratio()?)?;
            return Some(Self { plain: Intervals::of_lift(&lift, comparisons), adjusted: None });
        }

        // Few purchases say little of a share, least of all none: its error is that of one more of either.
        let plain = |of: &Sample| match metric {
            Metric::Conversion => of.estimate().at_least(of.error_of_share()),
            _ => of.estimate(),
        };
        let of_both = adjusted(&[*control, *sample]);
        let adjusted = of_both[1].lift_over(&of_both[0]);
        let adjusted = adjusted.filter(|_| sample.positive() >= MIN_POSITIVE);
        Some(Self {
            plain: Intervals::of_lift(&plain(sample).lift_over(&plain(control))?, comparisons),
            adjusted: adjusted.map(|lift| Intervals::of_lift(&lift, comparisons)),
        })
    }

    /// The intervals that decide.
    pub fn deciding(&self) -> &Intervals {
        self.adjusted.as_ref().unwrap_or(&self.plain)
    }
}

/// The figures of every variant, in the experiment's order.
pub(super) fn variants(experiment: &Experiment, units: &Summary) -> Vec<VariantReport> {
    let control = &experiment.control;
    let comparisons = experiment.variants.len() - 1;
    let figure = |name: &str, metric: Metric| {
        let sample = units.of(name).of(metric);
        let of_control = units.of(control).of(metric);
        let lift = Lift::new(metric, &sample, &of_control, comparisons);
        let lift = lift.filter(|_| name != control);
        let value = match metric {
            Metric::ClickThrough => sample.ratio().unwrap_or(Estimate::new(0.0, 0.0, 0)),
            _ => sample.estimate(),
        };
        let sentence = figure_sentence(name, control, metric, &value, lift.as_ref());
        Figure { metric, value, lift, sentence }
    };

    let report = |variant: &Variant| {
        let figures = Metric::ALL.iter().map(|&metric| figure(&variant.name, metric)).collect();
        let seen = units.of(&variant.name).of(Metric::Conversion).n;
        VariantReport { name: variant.name.clone(), share: variant.share, units: seen, figures }
    };
    experiment.variants.iter().map(report).collect()
}

fn figure_sentence(
    name: &str,
    control: &str,
    metric: Metric,
    value: &Estimate,
    lift: Option<&Lift>,
) -> String {
    let what = match metric {
        Metric::Conversion => format!("{} of {} users bought", percent(value.value), value.n),
        Metric::Revenue => format!("{} users brought {:.2} each", value.n, value.value),
        Metric::ClickThrough => {
            format!("{} of the items shown to {} users were clicked", percent(value.value), value.n)
        }
    };

    let Some(lift) = lift else { return format!("{name}: {what}.") };
    let deciding = lift.deciding();
    let Interval { low, high } = deciding.always_valid;
    format!(
        "{name}: {what}, {} compared with {control} (95 % certain, whenever it is read: {} to {}).",
        change(deciding.value),
        change(low),
        change(high)
    )
}

/// How much users prefer the second of two interleaved variants.
pub(super) fn preference(units: &Summary) -> Preference {
    let (clicks, revenue) = units.preferences;
    Preference {
        clicks: Intervals::new(&clicks.estimate(), 1),
        revenue: Intervals::new(&revenue.estimate(), 1),
        units: clicks.n,
    }
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn change(share: f64) -> String {
    if share.is_finite() { format!("{:+.1} %", 100.0 * share) } else { "unknown".to_owned() }
}
