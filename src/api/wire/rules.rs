//! Rules between the protocol and the domain.

use std::collections::BTreeMap;

use jiff::civil::{Date, Time};

use crate::api::wire::{convert, filter, pb};
use crate::domain::quote::quoted;
use crate::domain::{Violation, limits};
use crate::rules::schedule::{Dates, Day, Hours};
use crate::rules::{Action, Rule, RuleSet, Schedule, Select, When};

/// The rules of a request, of which the required fields are there. Other limits are the engine's to
/// check.
pub fn rule_set(given: Option<pb::RuleSet>) -> Result<RuleSet, Violation> {
    let given = given.ok_or_else(|| Violation::new("rules", "must be given, is absent"))?;
    let rules = given.rules.into_iter().enumerate();
    let rules = rules.map(|(at, given)| rule(given).map_err(|v| v.within(&format!("rules[{at}]"))));
    Ok(RuleSet { time_zone: given.time_zone, rules: rules.collect::<Result<_, _>>()? })
}

fn rule(given: pb::Rule) -> Result<Rule, Violation> {
    let unsaid = || {
        let actions = "pin, boost, bury, include, exclude, quota or target";
        Violation::new("action", format!("must be one of {actions}, is absent"))
    };
    Ok(Rule {
        name: given.name,
        action: action(given.action.ok_or_else(unsaid)?)?,
        items: select(given.items.unwrap_or_default()).map_err(|v| v.within("items"))?,
        when: when(given.when.unwrap_or_default()).map_err(|v| v.within("when"))?,
        priority: given.priority,
        disabled: given.disabled,
    })
}

fn action(given: pb::rule::Action) -> Result<Action, Violation> {
    use pb::rule::Action as Given;
    let count = |field: &str, value: i32| {
        usize::try_from(value).map_err(|_| {
            Violation::new(field, format!("must be 1 to {}, was {value}", limits::MAX_LIMIT))
        })
    };
    Ok(match given {
        Given::Pin(pin) => Action::Pin(count("pin.place", pin.place)?),
        Given::Boost(boost) => Action::Boost(boost.factor),
        Given::Bury(bury) => Action::Bury(bury.factor),
        Given::Include(_) => Action::Include,
        Given::Exclude(_) => Action::Exclude,
        Given::Quota(quota) => {
            Action::Quota { min: count("quota.min", quota.min)?, of: count("quota.of", quota.of)? }
        }
        Given::Target(target) => Action::Target(target.share),
    })
}

/// The items of a request; their limits are the engine's to check.
pub fn select(given: pb::ItemSelection) -> Result<Select, Violation> {
    let condition = given.condition.map(|given| filter::condition("condition", given));
    let days = given.arrived_within_days;
    let arrived_within_days = u32::try_from(days).map_err(|_| {
        let message = format!("must be 0 to {}, was {days}", limits::MAX_DAYS);
        Violation::new("arrived_within_days", message)
    })?;
    Ok(Select { ids: given.item_ids, condition: condition.transpose()?, arrived_within_days })
}

fn when(given: pb::RuleCondition) -> Result<When, Violation> {
    let mut user_attributes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (at, attribute) in given.user_attributes.into_iter().enumerate() {
        let name = attribute.name;
        if user_attributes.insert(name.clone(), attribute.values).is_some() {
            let message = format!("must not repeat a name, repeats {}", quoted(&name));
            return Err(Violation::new(format!("user_attributes[{at}].name"), message));
        }
    }
    let schedule = schedule(given.schedule.unwrap_or_default());
    Ok(When {
        placements: given.placements,
        user_attributes,
        page_categories: given.page_categories,
        segments: given.segments,
        schedule: schedule.map_err(|v| v.within("schedule"))?,
    })
}

fn schedule(given: pb::Schedule) -> Result<Schedule, Violation> {
    let time = |field: &str, given: Option<prost_types::Timestamp>| {
        given.map(|time| convert::milliseconds(field, &time)).transpose()
    };
    let weekly = given.weekly.iter().enumerate();
    let weekly = weekly.map(|(at, given)| hours(&format!("weekly[{at}]"), given));
    let dates = given.dates.into_iter().enumerate();
    let dates = dates.map(|(at, given)| {
        let date = |field: &str, text: &str| {
            let what = "a date such as 2026-12-24";
            parsed::<Date>(format!("dates[{at}].{field}"), text, what)
        };
        let (first, last) = (date("first", &given.first)?, date("last", &given.last)?);
        Ok(Dates { name: given.name, first, last })
    });
    Ok(Schedule {
        start_ms: time("start_time", given.start_time)?,
        end_ms: time("end_time", given.end_time)?,
        weekly: weekly.collect::<Result<_, Violation>>()?,
        dates: dates.collect::<Result<_, Violation>>()?,
    })
}

fn hours(path: &str, given: &pb::WeeklyHours) -> Result<Hours, Violation> {
    let days = given.days.iter().enumerate().map(|(at, name)| {
        let refused = |why: String| {
            let message = format!("{why}, was {}", quoted(name));
            Violation::new(format!("{path}.days[{at}]"), message)
        };
        Day::named(name).map_err(refused)
    });
    let days = days.collect::<Result<Vec<Day>, Violation>>()?;
    let time = |field: &str, text: &str| {
        let (field, what) = (format!("{path}.{field}"), "a time of the day such as 17:00");
        let time = parsed::<Time>(field.clone(), text, what)?;
        if time.second() != 0 || time.subsec_nanosecond() != 0 {
            return Err(Violation::new(field, "must be a whole minute"));
        }
        Ok(time)
    };
    Ok(Hours { days, start: time("start", &given.start)?, end: time("end", &given.end)? })
}

fn parsed<T: std::str::FromStr>(field: String, text: &str, what: &str) -> Result<T, Violation> {
    text.parse().map_err(|_| Violation::new(field, format!("must be {what}, was {}", quoted(text))))
}

/// Rules as the protocol has them.
pub fn rule_set_proto(set: &RuleSet) -> pb::RuleSet {
    let rules = set.rules.iter().map(rule_proto).collect();
    pb::RuleSet { time_zone: set.time_zone.clone(), rules }
}

fn rule_proto(rule: &Rule) -> pb::Rule {
    use pb::rule::Action as Given;
    let action = match rule.action {
        Action::Pin(place) => Given::Pin(pb::Pin { place: place as i32 }),
        Action::Boost(factor) => Given::Boost(pb::Boost { factor }),
        Action::Bury(factor) => Given::Bury(pb::Bury { factor }),
        Action::Include => Given::Include(pb::Include {}),
        Action::Exclude => Given::Exclude(pb::Exclude {}),
        Action::Quota { min, of } => Given::Quota(pb::SlotQuota { min: min as i32, of: of as i32 }),
        Action::Target(share) => Given::Target(pb::ShareTarget { share }),
    };

    pb::Rule {
        name: rule.name.clone(),
        items: Some(pb::ItemSelection {
            item_ids: rule.items.ids.clone(),
            condition: rule.items.condition.as_ref().map(filter::condition_proto),
            arrived_within_days: rule.items.arrived_within_days as i32,
        }),
        when: (rule.when != When::default()).then(|| when_proto(&rule.when)),
        priority: rule.priority,
        disabled: rule.disabled,
        action: Some(action),
    }
}

fn when_proto(when: &When) -> pb::RuleCondition {
    let attribute = |(name, values): (&String, &Vec<String>)| pb::AttributeValues {
        name: name.clone(),
        values: values.clone(),
    };
    let hours = |hours: &Hours| pb::WeeklyHours {
        days: hours.days.iter().map(|day| day.name().to_owned()).collect(),
        start: hours.start.strftime("%H:%M").to_string(),
        end: hours.end.strftime("%H:%M").to_string(),
    };
    let dates = |dates: &Dates| pb::DateRange {
        name: dates.name.clone(),
        first: dates.first.to_string(),
        last: dates.last.to_string(),
    };

    let schedule = &when.schedule;
    let schedule_proto = || pb::Schedule {
        start_time: schedule.start_ms.map(convert::timestamp),
        end_time: schedule.end_ms.map(convert::timestamp),
        weekly: schedule.weekly.iter().map(hours).collect(),
        dates: schedule.dates.iter().map(dates).collect(),
    };
    pb::RuleCondition {
        placements: when.placements.clone(),
        user_attributes: when.user_attributes.iter().map(attribute).collect(),
        page_categories: when.page_categories.clone(),
        segments: when.segments.clone(),
        schedule: (*schedule != Schedule::default()).then(schedule_proto),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_travel_there_and_back() {
        let given = pb::RuleSet {
            time_zone: "Asia/Shanghai".into(),
            rules: vec![pb::Rule {
                name: "friday".into(),
                items: Some(pb::ItemSelection {
                    item_ids: vec!["a".into()],
                    arrived_within_days: 14,
                    condition: Some(pb::Condition {
                        kind: Some(pb::condition::Kind::Price(pb::PriceRange {
                            min: Some(3.0),
                            max: None,
                        })),
                    }),
                }),
                when: Some(pb::RuleCondition {
                    placements: vec!["popular".into()],
                    user_attributes: vec![pb::AttributeValues {
                        name: "segment".into(),
                        values: vec!["gold".into(), "diamond".into()],
                    }],
                    page_categories: vec!["tea".into()],
                    segments: vec!["at_risk".into()],
                    schedule: Some(pb::Schedule {
                        start_time: Some(convert::timestamp(1_000)),
                        end_time: None,
                        weekly: vec![pb::WeeklyHours {
                            days: vec!["fri".into()],
                            start: "17:00".into(),
                            end: "02:30".into(),
                        }],
                        dates: vec![pb::DateRange {
                            name: "new year".into(),
                            first: "2027-02-06".into(),
                            last: "2027-02-12".into(),
                        }],
                    }),
                }),
                priority: 3,
                disabled: false,
                action: Some(pb::rule::Action::Quota(pb::SlotQuota { min: 2, of: 10 })),
            }],
        };
        let set = rule_set(Some(given.clone())).unwrap();
        assert_eq!(rule_set_proto(&set), given);
        let stored = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<RuleSet>(&stored).unwrap(), set, "{stored}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |rule: pb::Rule| {
            let set = pb::RuleSet { rules: vec![rule], ..pb::RuleSet::default() };
            rule_set(Some(set)).unwrap_err().to_string()
        };
        assert!(refused(pb::Rule::default()).starts_with("rules[0].action: must be one of pin"));
        let exclude = || pb::Rule {
            action: Some(pb::rule::Action::Exclude(pb::Exclude {})),
            ..pb::Rule::default()
        };
        let in_hours = |days: &str, start: &str| {
            let hours = pb::WeeklyHours {
                days: vec![days.into()],
                start: start.into(),
                end: "18:00".into(),
            };
            let schedule = pb::Schedule { weekly: vec![hours], ..pb::Schedule::default() };
            let when = pb::RuleCondition { schedule: Some(schedule), ..Default::default() };
            refused(pb::Rule { when: Some(when), ..exclude() })
        };
        assert_eq!(
            in_hours("friday", "17:00"),
            "rules[0].when.schedule.weekly[0].days[0]: must be mon, tue, wed, thu, fri, sat or sun, \
             was \"friday\""
        );
        assert_eq!(
            in_hours("fri", "5 pm"),
            "rules[0].when.schedule.weekly[0].start: must be a time of the day such as 17:00, was \
             \"5 pm\""
        );
    }
}
