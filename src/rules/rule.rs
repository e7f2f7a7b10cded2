//! Rules as data. A set is written and taken back as a whole.

use std::collections::HashSet;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::schedule::When;
use super::select::Select;
use crate::domain::quote::quoted;
use crate::domain::{Violation, limits};

/// Maximum number of rules of a set.
pub const MAX_RULES: usize = 2_000;
/// Largest factor of a boost; the smallest of a bury is its inverse.
pub const MAX_FACTOR: f64 = 100.0;
/// A product of factors within the range of one rule: many boosts are no more than the largest.
pub(super) fn within_range(factor: f32) -> f32 {
    factor.clamp(1.0 / MAX_FACTOR as f32, MAX_FACTOR as f32)
}

/// Largest share of what is shown that a target can hold.
pub const MAX_SHARE: f64 = 0.5;

/// A set of rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSet {
    /// The store's time zone, by its name in the tz database; empty: UTC.
    #[serde(deserialize_with = "known_zone")]
    pub time_zone: String,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// Reads the name of a time zone; a set with one that is not known could not be put in force.
fn known_zone<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<String, D::Error> {
    let set = RuleSet { time_zone: String::deserialize(reader)?, rules: Vec::new() };
    set.zone().map_err(|why| serde::de::Error::custom(why.message))?;
    Ok(set.time_zone)
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which no other rule of the set has.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// With which items.
    pub items: Select,
    /// When; by default always.
    #[serde(default)]
    pub when: When,
    /// Which of two rules that want the same place comes first: the larger number, then the one
    /// that stands first in the set.
    #[serde(default)]
    pub priority: i32,
    /// Whether it is off.
    #[serde(default)]
    pub disabled: bool,
}

/// What a rule does with its items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Puts its items at a place of the list, counted from 1, and those that follow it.
    Pin(usize),
    /// Multiplies their scores, by 1 or more.
    Boost(f64),
    /// Multiplies their scores, by 1 or less.
    Bury(f64),
    /// Only these may be offered, and those of other rules that include.
    Include,
    /// None of these is offered.
    Exclude,
    /// Of the first places of a list, at least some are theirs.
    Quota {
        /// Minimum number of places that are theirs.
        min: usize,
        /// Number of first places that are looked at.
        of: usize,
    },
    /// Their share of all places that are shown, held over time.
    Target(f64),
}

impl Action {
    /// Its name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Action::Pin(_) => "pin",
            Action::Boost(_) => "boost",
            Action::Bury(_) => "bury",
            Action::Include => "include",
            Action::Exclude => "exclude",
            Action::Quota { .. } => "quota",
            Action::Target(_) => "target",
        }
    }

    fn validate(self) -> Result<(), Violation> {
        let longest = limits::MAX_LIMIT as f64;
        match self {
            Action::Pin(place) => limits::number("pin.place", place as f64, 1.0, longest),
            Action::Boost(factor) => limits::number("boost.factor", factor, 1.0, MAX_FACTOR),
            Action::Bury(factor) => limits::number("bury.factor", factor, 1.0 / MAX_FACTOR, 1.0),
            Action::Quota { min, of } => {
                limits::number("quota.of", of as f64, 1.0, longest)?;
                limits::number("quota.min", min as f64, 1.0, of as f64)
            }
            Action::Target(share) => limits::number("target.share", share, 0.001, MAX_SHARE),
            Action::Include | Action::Exclude => Ok(()),
        }
    }
}

impl RuleSet {
    /// The store's time zone.
    ///
    /// # Errors
    /// Where the tz database has no such zone.
    pub fn zone(&self) -> Result<TimeZone, Violation> {
        if self.time_zone.is_empty() {
            return Ok(TimeZone::UTC);
        }
        TimeZone::get(&self.time_zone).map_err(|_| {
            let message = format!(
                "must be the name of a time zone such as Asia/Shanghai, was {}",
                quoted(&self.time_zone)
            );
            Violation::new("time_zone", message)
        })
    }

    /// Checks every limit, and that every rule can hold at some time from `now_ms` on, in one of
    /// `placements`; the violation names the rule and the field.
    ///
    /// # Errors
    /// The first field that breaks its limit.
    pub fn check(&self, now_ms: i64, placements: &[String]) -> Result<(), Violation> {
        let zone = self.zone()?;
        limits::count("rules", self.rules.len(), 0, MAX_RULES)?;
        let mut names = HashSet::new();
        for (at, rule) in self.rules.iter().enumerate() {
            let within = |violation: Violation| {
                let named = limits::new_id("name", &rule.name).is_ok();
                let name = if named { format!(" {}", quoted(&rule.name)) } else { String::new() };
                violation.within(&format!("rules[{at}]{name}"))
            };
            rule.check(now_ms, &zone, placements).map_err(within)?;
            if !names.insert(&rule.name) {
                let message = format!("must not repeat a name, repeats {}", quoted(&rule.name));
                return Err(within(Violation::new("name", message)));
            }
        }
        self.check_conflicts()
    }

    /// Refuses a rule that includes exactly what another excludes: its lists would be empty.
    fn check_conflicts(&self) -> Result<(), Violation> {
        let of = |action: Action| {
            let enabled = self.rules.iter().enumerate().filter(|(_, rule)| !rule.disabled);
            enabled.filter(move |(_, rule)| rule.action == action)
        };
        for (at, include) in of(Action::Include) {
            let opposite = of(Action::Exclude).find(|(_, exclude)| {
                exclude.items == include.items
                    && (exclude.when == include.when || exclude.when == When::default())
            });
            if let Some((_, exclude)) = opposite {
                let message = format!(
                    "includes what {} excludes: its lists would be empty",
                    quoted(&exclude.name)
                );
                let field = format!("rules[{at}] {}.include", quoted(&include.name));
                return Err(Violation::new(field, message));
            }
        }
        Ok(())
    }
}

impl Rule {
    fn check(&self, now_ms: i64, zone: &TimeZone, placements: &[String]) -> Result<(), Violation> {
        limits::new_id("name", &self.name)?;
        self.action.validate()?;
        self.items.validate().map_err(|violation| violation.within("items"))?;
        if matches!(self.action, Action::Pin(_)) && self.items.ids.is_empty() {
            return Err(Violation::new("items.item_ids", "must name the items to pin, is empty"));
        }
        self.when.validate().map_err(|violation| violation.within("when"))?;
        if self.disabled {
            return Ok(());
        }

        for (at, placement) in self.when.placements.iter().enumerate() {
            if !placements.contains(placement) {
                let message = format!(
                    "must be a placement of the store ({}), was {}",
                    placements.join(", "),
                    quoted(placement)
                );
                return Err(Violation::new(format!("when.placements[{at}]"), message));
            }
        }
        if self.when.schedule.never_holds(now_ms, zone) {
            return Err(Violation::new(
                "when.schedule",
                "holds at no time from now on: the rule can never match",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Schedule;

    /// A rule for the item "a".
    fn rule(name: &str, action: Action) -> Rule {
        Rule {
            name: name.into(),
            action,
            items: Select { ids: vec!["a".into()], ..Select::default() },
            when: When::default(),
            priority: 0,
            disabled: false,
        }
    }

    fn refused(rules: Vec<Rule>) -> String {
        let set = RuleSet { time_zone: "Asia/Shanghai".into(), rules };
        set.check(1_000, &["home".into()]).map_or_else(|v| v.to_string(), |()| "taken".into())
    }

    #[test]
    fn what_breaks_a_limit_or_can_never_match_is_named() {
        assert_eq!(refused(vec![rule("one", Action::Boost(2.0))]), "taken");
        let at = |when: When| Rule { when, ..rule("one", Action::Exclude) };
        let over = Schedule { end_ms: Some(1_000), ..Schedule::default() };
        let elsewhere = When { placements: vec!["hom".into()], ..When::default() };
        let cases = [
            (rule("one", Action::Boost(0.5)), "boost.factor: must be 1 to 100, was 0.5"),
            (rule("one", Action::Bury(2.0)), "bury.factor: must be 0.01 to 1, was 2"),
            (rule("one", Action::Pin(0)), "pin.place: must be 1 to 500, was 0"),
            (rule("one", Action::Quota { min: 3, of: 2 }), "quota.min: must be 1 to 2, was 3"),
            (rule("one", Action::Target(0.9)), "target.share: must be 0.001 to 0.5, was 0.9"),
            (
                Rule { items: Select::default(), ..rule("one", Action::Exclude) },
                "items.item_ids: must name items, a condition or days since their arrival",
            ),
            (
                at(When { schedule: over, ..When::default() }),
                "when.schedule: holds at no time from now on: the rule can never match",
            ),
            (
                at(elsewhere),
                "when.placements[0]: must be a placement of the store (home), was \"hom\"",
            ),
        ];
        for (given, why) in cases {
            assert_eq!(refused(vec![given]), format!("rules[0] \"one\".{why}"));
        }
        let twice = vec![rule("one", Action::Exclude), rule("one", Action::Exclude)];
        assert_eq!(
            refused(twice),
            "rules[1] \"one\".name: must not repeat a name, repeats \"one\""
        );
        let set = RuleSet { time_zone: "Mars/Olympus".into(), ..RuleSet::default() };
        assert!(set.check(0, &[]).unwrap_err().to_string().starts_with("time_zone: must be the"));
    }

    #[test]
    fn what_includes_exactly_what_is_excluded_is_refused() {
        let both = vec![rule("only a", Action::Include), rule("no a", Action::Exclude)];
        assert_eq!(
            refused(both.clone()),
            "rules[0] \"only a\".include: includes what \"no a\" excludes: its lists would be empty"
        );
        let off = vec![both[0].clone(), Rule { disabled: true, ..both[1].clone() }];
        assert_eq!(refused(off), "taken");
    }
}
