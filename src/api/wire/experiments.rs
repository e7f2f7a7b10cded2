//! Experiments, their reports and online metrics between the protocol and the domain.

use crate::api::wire::{convert, pb};
use crate::domain::Violation;
use crate::engine::serve::{Replayed, Reward};
use crate::experiment::figures::{ALPHA, Figure, Intervals, Preference, VariantReport};
use crate::experiment::statistics::{Estimate, Interval};
use crate::experiment::{
    Dimension, Experiment, ExperimentState, Group, Method, Metric, RampStep, Report, Variant,
    Verdict,
};

/// The smallest effect worth having where an experiment names none: 2 %.
const MIN_EFFECT: f64 = 0.02;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The experiment of a request. Limits are the engine's to check.
pub fn experiment(given: Option<pb::Experiment>) -> Result<Experiment, Violation> {
    let given = given.ok_or_else(|| Violation::new("experiment", "must be given, is absent"))?;
    let method = match pb::ExperimentMethod::try_from(given.method) {
        Ok(pb::ExperimentMethod::Unspecified | pb::ExperimentMethod::Split) => Method::Split,
        Ok(pb::ExperimentMethod::Interleaving) => Method::Interleaving,
        Err(_) => {
            return Err(Violation::new("method", format!("must be 0 to 2, was {}", given.method)));
        }
    };
    let metric = match pb::ExperimentMetric::try_from(given.metric) {
        Ok(pb::ExperimentMetric::Unspecified | pb::ExperimentMetric::Conversion) => {
            Metric::Conversion
        }
        Ok(pb::ExperimentMetric::Revenue) => Metric::Revenue,
        Ok(pb::ExperimentMetric::ClickThrough) => Metric::ClickThrough,
        Err(_) => {
            return Err(Violation::new("metric", format!("must be 0 to 3, was {}", given.metric)));
        }
    };

    let variant = |of: pb::ExperimentVariant| Variant {
        name: of.name,
        share: of.share,
        placement: of.placement,
    };
    let step = |of: pb::RampStep| RampStep { until_hours: of.until_hours, traffic: of.traffic };
    let layer = if given.layer.is_empty() { given.placement.clone() } else { given.layer };
    Ok(Experiment {
        name: given.name,
        placement: given.placement,
        layer,
        method,
        variants: given.variants.into_iter().map(variant).collect(),
        control: given.control,
        traffic: given.traffic,
        segments: given.segments,
        ramp: given.ramp.into_iter().map(step).collect(),
        metric,
        min_effect: if given.min_effect == 0.0 { MIN_EFFECT } else { given.min_effect },
        guardrail: given.guardrail,
        state: ExperimentState::Draft,
        slot: 0.0,
    })
}

/// An experiment as the protocol has it.
pub fn experiment_proto(experiment: &Experiment) -> pb::Experiment {
    let (state, end_ms, stop_reason) = match &experiment.state {
        ExperimentState::Draft => (pb::ExperimentState::Draft, None, ""),
        ExperimentState::Running { .. } => (pb::ExperimentState::Running, None, ""),
        ExperimentState::Stopped { until_ms, reason, .. } => {
            (pb::ExperimentState::Stopped, Some(*until_ms), reason.as_str())
        }
    };
    let method = match experiment.method {
        Method::Split => pb::ExperimentMethod::Split,
        Method::Interleaving => pb::ExperimentMethod::Interleaving,
    };
    let variant = |of: &Variant| pb::ExperimentVariant {
        name: of.name.clone(),
        share: of.share,
        placement: of.placement.clone(),
    };
    let step = |of: &RampStep| pb::RampStep { until_hours: of.until_hours, traffic: of.traffic };

    pb::Experiment {
        name: experiment.name.clone(),
        placement: experiment.placement.clone(),
        layer: experiment.layer.clone(),
        method: method.into(),
        variants: experiment.variants.iter().map(variant).collect(),
        control: experiment.control.clone(),
        traffic: experiment.traffic,
        segments: experiment.segments.clone(),
        ramp: experiment.ramp.iter().map(step).collect(),
        metric: metric_proto(experiment.metric).into(),
        min_effect: experiment.min_effect,
        guardrail: experiment.guardrail,
        state: state.into(),
        start_time: experiment.since_ms().map(convert::timestamp),
        end_time: end_ms.map(convert::timestamp),
        stop_reason: stop_reason.to_owned(),
    }
}

fn metric_proto(metric: Metric) -> pb::ExperimentMetric {
    match metric {
        Metric::Conversion => pb::ExperimentMetric::Conversion,
        Metric::Revenue => pb::ExperimentMetric::Revenue,
        Metric::ClickThrough => pb::ExperimentMetric::ClickThrough,
    }
}

/// A report as the protocol has it; nothing but the experiment while no list was shown.
pub fn report_proto(
    experiment: &Experiment,
    report: Option<Report>,
) -> pb::GetExperimentReportResponse {
    let experiment = Some(experiment_proto(experiment));
    let Some(report) = report else {
        let sentence = "No user has seen a list of it yet.".to_owned();
        let sample_ratio_p = 1.0;
        return pb::GetExperimentReportResponse {
            experiment,
            sentence,
            sample_ratio_p,
            ..Default::default()
        };
    };

    let (verdict, variant) = match report.verdict {
        Verdict::TooEarly => (pb::ExperimentVerdict::TooEarly, String::new()),
        Verdict::Void => (pb::ExperimentVerdict::Void, String::new()),
        Verdict::Undecided => (pb::ExperimentVerdict::Undecided, String::new()),
        Verdict::Better(variant) => (pb::ExperimentVerdict::Better, variant),
        Verdict::Worse => (pb::ExperimentVerdict::Worse, String::new()),
        Verdict::Futile => (pb::ExperimentVerdict::Futile, String::new()),
        Verdict::Harmful(variant) => (pb::ExperimentVerdict::Harmful, variant),
    };
    let day = |(day, of_day): (i64, Vec<Estimate>)| pb::DayReport {
        day: Some(convert::timestamp(day * DAY_MS)),
        conversions: of_day.iter().map(|estimate| estimate.value).collect(),
        users: of_day.iter().map(|estimate| estimate.n as i64).collect(),
    };
    pb::GetExperimentReportResponse {
        experiment,
        variants: report.variants.into_iter().map(variant_proto).collect(),
        sample_ratio_p: report.sample_ratio,
        mixed_users: report.mixed as i64,
        verdict: verdict.into(),
        verdict_variant: variant,
        sentence: report.sentence,
        users_needed: report.units_needed,
        days_left: report.days_left,
        preference: report.preference.map(|of| preference_proto(&of)),
        days: report.days.into_iter().map(day).collect(),
    }
}

fn variant_proto(variant: VariantReport) -> pb::VariantReport {
    let figure = |figure: Figure| pb::FigureReport {
        metric: metric_proto(figure.metric).into(),
        value: figure.value.value,
        standard_error: figure.value.standard_error,
        users: figure.value.n as i64,
        lift: figure.lift.map(|lift| lift_proto(&lift.plain)),
        adjusted_lift: figure.lift.and_then(|lift| lift.adjusted).map(|lift| lift_proto(&lift)),
        sentence: figure.sentence,
    };
    pb::VariantReport {
        name: variant.name,
        share: variant.share,
        users: variant.units as i64,
        figures: variant.figures.into_iter().map(figure).collect(),
    }
}

fn preference_proto(preference: &Preference) -> pb::Preference {
    pb::Preference {
        clicks: Some(lift_proto(&preference.clicks)),
        revenue: Some(lift_proto(&preference.revenue)),
        users: preference.units as i64,
    }
}

fn lift_proto(lift: &Intervals) -> pb::LiftReport {
    pb::LiftReport {
        value: lift.value,
        always_valid_low: lift.always_valid.low,
        always_valid_high: lift.always_valid.high,
        fixed_horizon_low: lift.fixed_horizon.low,
        fixed_horizon_high: lift.fixed_horizon.high,
    }
}

/// The dimensions of a request.
pub fn dimensions(given: &[i32]) -> Result<Vec<Dimension>, Violation> {
    let dimension = |(at, &value): (usize, &i32)| {
        let dimension = match pb::MetricDimension::try_from(value) {
            Ok(pb::MetricDimension::Hour) => Dimension::Hour,
            Ok(pb::MetricDimension::Day) => Dimension::Day,
            Ok(pb::MetricDimension::Placement) => Dimension::Placement,
            Ok(pb::MetricDimension::Variant) => Dimension::Variant,
            Ok(pb::MetricDimension::Generation) => Dimension::Generation,
            Ok(pb::MetricDimension::Source) => Dimension::Source,
            Ok(pb::MetricDimension::Unspecified) | Err(_) => {
                let message = format!("must be 1 to 6, was {value}");
                return Err(Violation::new(format!("group_by[{at}]"), message));
            }
        };
        Ok(dimension)
    };
    given.iter().enumerate().map(dimension).collect()
}

/// A group of metrics as the protocol has it, in a store that knows this number of items.
pub fn group_proto(group: Group, known: u64) -> pb::MetricGroup {
    let counts = group.counts;
    let seen = group.seen;
    let by_seen = |value: f64| if seen > 0 { value / seen as f64 } else { 0.0 };
    let dwell_ms = counts.dwell_ms as f64 / counts.timed_views as f64;

    pb::MetricGroup {
        time: group.time_ms.map(convert::timestamp),
        placement: group.placement,
        variant: group.variant,
        generation: group.generation,
        source: group.source.into(),
        seen: seen as i64,
        lists: counts.lists as i64,
        shown: counts.shown as i64,
        impressions: counts.impressions as i64,
        clicks: counts.clicks as i64,
        carts: counts.carts as i64,
        purchases: counts.purchases as i64,
        revenue: counts.revenue,
        shared_purchases: counts.shared_purchases,
        shared_revenue: counts.shared_revenue,
        refunds: counts.refunds as i64,
        refunded: counts.refunded,
        dwell_ms: (counts.timed_views > 0).then_some(dwell_ms),
        unattributed: counts.unattributed as i64,
        click_through_rate: by_seen(counts.clicks as f64),
        cart_rate: by_seen(counts.carts as f64),
        conversion_rate: by_seen(counts.purchases as f64),
        revenue_per_thousand: 1_000.0 * by_seen(counts.net_revenue()),
        items_shown: group.items_shown.map(|items| items as i64),
        catalogue_share: group
            .items_shown
            .filter(|_| known > 0)
            .map(|items| items as f64 / known as f64),
    }
}

/// What the slots of a replay earn.
pub fn reward(value: i32) -> Result<Reward, Violation> {
    match pb::ReplayReward::try_from(value) {
        Ok(pb::ReplayReward::Unspecified | pb::ReplayReward::Clicks) => Ok(Reward::Clicks),
        Ok(pb::ReplayReward::Purchases) => Ok(Reward::Purchases),
        Ok(pb::ReplayReward::Revenue) => Ok(Reward::Revenue),
        Err(_) => Err(Violation::new("reward", format!("must be 0 to 3, was {value}"))),
    }
}

/// A replay as the protocol has it.
pub fn replayed_proto(replayed: &Replayed) -> pb::ReplayPlacementResponse {
    let (slots, left_out) = (replayed.slots as i64, replayed.left_out as i64);
    let Some(estimates) = &replayed.estimates else {
        let refusal = "the candidate would have shown nothing of what was shown".to_owned();
        return pb::ReplayPlacementResponse { slots, left_out, refusal, ..Default::default() };
    };
    let estimate = |estimate: &Estimate| {
        let Interval { low, high } = estimate.fixed_horizon(ALPHA);
        Some(pb::ReplayEstimate { value: estimate.value, low, high })
    };
    pb::ReplayPlacementResponse {
        slots,
        left_out,
        logged: estimate(&estimates.logged),
        ips: estimate(&estimates.ips),
        snips: estimate(&estimates.snips),
        dr: estimate(&estimates.dr),
        effective_slots: estimates.effective,
        refusal: estimates.refusal().unwrap_or_default(),
    }
}
