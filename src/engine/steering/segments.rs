//! The saved segments that rules, placements and experiments name: they must be there.

use crate::domain::Violation;
use crate::domain::quote::quoted;
use crate::engine::in_force::InForce;
use crate::experiment::{Experiment, ExperimentSet};
use crate::insight::InsightSettings;
use crate::recommend::PlacementSet;
use crate::rules::RuleSet;

/// A segment that is named: by whom, the field, and the segment.
pub(super) struct Named<'a> {
    by: String,
    field: String,
    segment: &'a str,
}

/// The segments that rules name which are not disabled.
pub(super) fn of_rules(set: &RuleSet) -> Vec<Named<'_>> {
    let enabled = set.rules.iter().enumerate().filter(|(_, rule)| !rule.disabled);
    let named = enabled.flat_map(|(at, rule)| {
        rule.when.segments.iter().enumerate().map(move |(of, segment)| Named {
            by: format!("the rule {}", quoted(&rule.name)),
            field: format!("rules[{at}].when.segments[{of}]"),
            segment,
        })
    });
    named.collect()
}

/// The segments that placements name.
pub(super) fn of_placements(set: &PlacementSet) -> Vec<Named<'_>> {
    let named = set.placements.iter().enumerate().flat_map(|(at, placement)| {
        placement.for_segments.iter().enumerate().map(move |(of, case)| Named {
            by: format!("the placement {}", quoted(&placement.name)),
            field: format!("placements[{at}].for_segments[{of}].segment"),
            segment: &case.segment,
        })
    });
    named.collect()
}

/// The segments that an experiment names.
pub(super) fn of_experiment(experiment: &Experiment) -> Vec<Named<'_>> {
    let named = experiment.segments.iter().enumerate().map(|(of, segment)| Named {
        by: format!("the experiment {}", quoted(&experiment.name)),
        field: format!("segments[{of}]"),
        segment,
    });
    named.collect()
}

/// Checks that every segment that is named is there.
///
/// # Errors
/// The field that names one which is not.
pub(super) fn check(settings: &InsightSettings, named: Vec<Named<'_>>) -> Result<(), Violation> {
    named.iter().try_for_each(|of| settings.check_segment(&of.field, of.segment))
}

/// Checks that new settings keep every segment of today that decisions in force name.
///
/// # Errors
/// The field `segments`, where one is gone.
pub(super) fn check_kept(settings: &InsightSettings, in_force: &InForce) -> Result<(), Violation> {
    let (rules, placements) = (in_force.rule_set(), in_force.placements());
    let experiments: &ExperimentSet = &in_force.experiments();
    let named = of_rules(&rules).into_iter().chain(of_placements(&placements));
    let mut named = named.chain(experiments.running().flat_map(of_experiment));

    let has = |settings: &InsightSettings, name: &str| {
        settings.segments.iter().any(|segment| segment.name == name)
    };
    let today = in_force.insight();
    let lost = named.find(|of| has(&today, of.segment) && !has(settings, of.segment));
    lost.map_or(Ok(()), |of| {
        let message = format!("must hold {}, which {} names", quoted(of.segment), of.by);
        Err(Violation::new("segments", message))
    })
}
