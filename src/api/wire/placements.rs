//! Placements between the protocol and the domain.

use std::collections::BTreeMap;

use crate::api::wire::{filter, lists, pb};
use crate::domain::{Violation, limits};
use crate::model::Source;
use crate::recommend::{
    ForSegment, Objective, Placement, PlacementSet, RandomSlot, RepeatPolicy, RuleChoice, Shows,
};

/// Items among which a slot is drawn where a placement does not say.
const DEFAULT_SLOT: i32 = 20;

/// The placements of a request. Limits that depend on the store are the engine's to check.
pub fn placement_set(given: Option<pb::PlacementSet>) -> Result<PlacementSet, Violation> {
    let given = given.ok_or_else(|| Violation::new("placements", "must be given, is absent"))?;
    let all = given.placements.into_iter().enumerate();
    let all = all.map(|(at, given)| {
        placement(given).map_err(|violation| violation.within(&format!("placements[{at}]")))
    });
    Ok(PlacementSet { placements: all.collect::<Result<_, _>>()? })
}

fn placement(given: pb::Placement) -> Result<Placement, Violation> {
    let condition = given.condition.map(|given| filter::condition("condition", given));
    let shows = shows(given.shows, given.window)?;
    let limit = match given.limit {
        0 => None,
        limit => Some(limits::list_length("limit", limit.into())?),
    };
    Ok(Placement {
        name: given.name,
        title: given.title,
        shows,
        limit,
        strategy: lists::strategy(given.strategy)?,
        condition: condition.transpose()?,
        repeat: lists::repeat_policy(given.repeat_policy, given.exclude_purchased_days)?,
        variety: given.variety.map(lists::variety).transpose()?,
        objective: given.objective.map(objective),
        weights: weights(given.weights)?,
        rules: rule_choice(given.rules, given.rules_version)?,
        generation: Some(given.generation).filter(|generation| *generation > 0),
        slot: given.slot.map(slot),
        for_segments: given.for_segments.into_iter().map(for_segment).collect(),
    })
}

fn for_segment(given: pb::PlacementForSegment) -> ForSegment {
    ForSegment { segment: given.segment, placement: given.placement }
}

fn for_segment_proto(case: &ForSegment) -> pb::PlacementForSegment {
    let ForSegment { segment, placement } = case.clone();
    pb::PlacementForSegment { segment, placement }
}

fn slot(given: pb::RandomSlot) -> RandomSlot {
    let candidates = if given.candidates == 0 { DEFAULT_SLOT } else { given.candidates };
    let natural = |value: i32| usize::try_from(value).unwrap_or(0);
    RandomSlot { position: natural(given.position), candidates: natural(candidates) }
}

fn weights(given: Vec<pb::SourceWeight>) -> Result<BTreeMap<Source, f32>, Violation> {
    let mut weights = BTreeMap::new();
    for (at, pb::SourceWeight { source, weight }) in given.into_iter().enumerate() {
        let field = format!("weights[{at}].source");
        let known = lists::strategy(source).ok().flatten();
        let known = known.ok_or_else(|| {
            Violation::new(field.clone(), format!("must be a source of the blend, was {source}"))
        })?;
        if weights.insert(known, weight).is_some() {
            return Err(Violation::new(field, "is given twice"));
        }
    }
    Ok(weights)
}

fn rule_choice(choice: i32, version: u32) -> Result<RuleChoice, Violation> {
    let chosen = match pb::RuleChoice::try_from(choice) {
        Ok(pb::RuleChoice::Unspecified | pb::RuleChoice::InForce) => RuleChoice::InForce,
        Ok(pb::RuleChoice::Without) => RuleChoice::Without,
        Ok(pb::RuleChoice::Version) if version > 0 => RuleChoice::Version(version),
        Ok(pb::RuleChoice::Version) => {
            return Err(Violation::new("rules_version", "must be given, is absent"));
        }
        Err(_) => return Err(Violation::new("rules", format!("must be 0 to 3, was {choice}"))),
    };
    if version > 0 && !matches!(chosen, RuleChoice::Version(_)) {
        let message = "must be absent unless rules is RULE_CHOICE_VERSION";
        return Err(Violation::new("rules_version", message));
    }
    Ok(chosen)
}

/// The objective of a request; its limits are the engine's to check.
pub fn objective(given: pb::Objective) -> Objective {
    let pb::Objective { buy, click, margin, returns } = given;
    Objective { buy, click, margin, returns }
}

fn shows(value: i32, window: i32) -> Result<Shows, Violation> {
    let shows = match pb::Shows::try_from(value) {
        Ok(pb::Shows::Unspecified | pb::Shows::Personal) => Shows::Personal,
        Ok(pb::Shows::SimilarItems) => Shows::SimilarItems,
        Ok(pb::Shows::BoughtTogether) => Shows::BoughtTogether,
        Ok(pb::Shows::Popular) => Shows::Popular(lists::window(window)?),
        Ok(pb::Shows::BecauseYouTook) => Shows::BecauseYouTook,
        Ok(pb::Shows::Favorites) => Shows::Favorites,
        Ok(pb::Shows::PriceDrops) => Shows::PriceDrops,
        Err(_) => {
            return Err(Violation::new("shows", format!("must be 0 to 7, was {value}")));
        }
    };
    if window != 0 && !matches!(shows, Shows::Popular(_)) {
        return Err(Violation::new("window", "must be absent unless shows is SHOWS_POPULAR"));
    }
    Ok(shows)
}

/// Placements as the protocol has them.
pub fn placement_set_proto(set: &PlacementSet) -> pb::PlacementSet {
    pb::PlacementSet { placements: set.placements.iter().map(placement_proto).collect() }
}

fn objective_proto(objective: Objective) -> pb::Objective {
    let Objective { buy, click, margin, returns } = objective;
    pb::Objective { buy, click, margin, returns }
}

fn placement_proto(placement: &Placement) -> pb::Placement {
    let (shows, window) = match placement.shows {
        Shows::Personal => (pb::Shows::Personal, None),
        Shows::SimilarItems => (pb::Shows::SimilarItems, None),
        Shows::BoughtTogether => (pb::Shows::BoughtTogether, None),
        Shows::Popular(window) => (pb::Shows::Popular, Some(lists::window_proto(window))),
        Shows::BecauseYouTook => (pb::Shows::BecauseYouTook, None),
        Shows::Favorites => (pb::Shows::Favorites, None),
        Shows::PriceDrops => (pb::Shows::PriceDrops, None),
    };

    let days = match placement.repeat {
        Some(RepeatPolicy::ExcludeWithin(days)) => days as i32,
        _ => 0,
    };
    let (rules, rules_version) = match placement.rules {
        RuleChoice::InForce => (pb::RuleChoice::Unspecified, 0),
        RuleChoice::Without => (pb::RuleChoice::Without, 0),
        RuleChoice::Version(version) => (pb::RuleChoice::Version, version),
    };
    pb::Placement {
        name: placement.name.clone(),
        title: placement.title.clone(),
        shows: shows.into(),
        limit: placement.limit.unwrap_or(0) as i32,
        window: window.unwrap_or(pb::Window::Unspecified).into(),
        strategy: placement.strategy.map_or(0, Source::number),
        condition: placement.condition.as_ref().map(filter::condition_proto),
        repeat_policy: placement.repeat.map_or(pb::RepeatPolicy::Unspecified, lists::policy).into(),
        exclude_purchased_days: days,
        variety: placement.variety.as_ref().map(lists::variety_proto),
        objective: placement.objective.map(objective_proto),
        weights: placement.weights.iter().map(weight_proto).collect(),
        rules: rules.into(),
        rules_version,
        generation: placement.generation.unwrap_or(0),
        for_segments: placement.for_segments.iter().map(for_segment_proto).collect(),
        slot: placement.slot.map(|slot| pb::RandomSlot {
            position: slot.position as i32,
            candidates: slot.candidates as i32,
        }),
    }
}

fn weight_proto((source, &weight): (&Source, &f32)) -> pb::SourceWeight {
    pb::SourceWeight { source: source.number(), weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placements_travel_there_and_back() {
        let given = pb::PlacementSet {
            placements: vec![
                pb::Placement {
                    name: "home".into(),
                    title: "For you".into(),
                    shows: pb::Shows::Personal.into(),
                    limit: 12,
                    repeat_policy: pb::RepeatPolicy::ExcludePurchased.into(),
                    exclude_purchased_days: 30,
                    variety: Some(pb::Variety {
                        diversifier: pb::Diversifier::Dpp.into(),
                        likeness: pb::Likeness::Content.into(),
                        relevance: Some(0.5),
                        max_of_brand: 2,
                        ..pb::Variety::default()
                    }),
                    objective: Some(pb::Objective { buy: 1.0, margin: 0.5, ..Default::default() }),
                    ..pb::Placement::default()
                },
                pb::Placement {
                    name: "best".into(),
                    shows: pb::Shows::Popular.into(),
                    window: pb::Window::Window7Days.into(),
                    ..pb::Placement::default()
                },
            ],
        };
        let set = placement_set(Some(given.clone())).unwrap();
        assert_eq!(placement_set_proto(&set), given);
        let stored = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<PlacementSet>(&stored).unwrap(), set, "{stored}");
        assert!(shows(1, 2).unwrap_err().to_string().starts_with("window: must be absent"));
    }
}
