//! Which lists decisions leave empty with today's catalogue.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::quote::quoted;
use crate::live::{Filter, ItemMask, Live};
use crate::recommend::{Placement, PlacementSet};
use crate::rules::{Action, Asked, CompiledRules, RuleSet, When};

/// Warnings of one kind that are written; further ones are counted.
const NAMED: usize = 10;
/// Times at which a rule begins or ends that are looked at, the next ones.
const MOMENTS: usize = 8;
/// Lists that are looked at, at each of these times.
const LISTS: usize = 500;

/// What a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    placement: String,
    attributes: BTreeMap<String, String>,
    page_category: String,
    segments: Vec<String>,
}

impl Case {
    fn plain(placement: &str) -> Self {
        Self {
            placement: placement.to_owned(),
            attributes: BTreeMap::new(),
            page_category: String::new(),
            segments: Vec::new(),
        }
    }

    /// The lists that a rule asks for, with each of its values once or more.
    fn of_rule<'r>(when: &'r When, placements: &'r [String]) -> impl Iterator<Item = Self> + 'r {
        let own = if when.placements.is_empty() { placements } else { &when.placements };
        let longest = when.user_attributes.values().map(Vec::len).max().unwrap_or(0);
        let all = own.len().max(when.page_categories.len()).max(longest);
        let of = |values: &[String], at: usize| {
            values.get(at % values.len().max(1)).cloned().unwrap_or_default()
        };
        let user = move |at: usize| {
            let named = when.user_attributes.iter();
            named.map(|(name, values)| (name.clone(), of(values, at))).collect()
        };
        (0..all).map(move |at| Self {
            placement: of(own, at),
            attributes: user(at),
            page_category: of(&when.page_categories, at),
            segments: when.segments.clone(),
        })
    }
}

/// The lists that rules leave empty, now or when a rule begins or ends: those of each placement, and
/// those of users and pages that a single rule asks for.
pub(super) fn by_rules(
    set: &RuleSet,
    placements: &PlacementSet,
    live: &Live,
    now_ms: i64,
) -> Vec<String> {
    // Rules that move items leave none out.
    let restricts = |action| matches!(action, Action::Include | Action::Exclude);
    let rules = set.rules.iter().filter(|rule| !rule.disabled && restricts(rule.action));
    let set = RuleSet { rules: rules.cloned().collect(), time_zone: set.time_zone.clone() };
    // A set whose zone is not known is refused, which the check says.
    let Ok(zone) = set.zone() else { return Vec::new() };
    if set.rules.is_empty() {
        return Vec::new();
    }

    let (mut lists, left_out) = lists(&set, &placements.names());
    let mut left = Left::new(live, now_ms);
    let mut empty = Vec::new();
    for moment_ms in moments(&set, now_ms, &zone) {
        let Ok(rules) = CompiledRules::new(&set, live, moment_ms, &CompiledRules::default()) else {
            continue;
        };
        let from = if moment_ms > now_ms { since(moment_ms, &zone) } else { String::new() };
        // What is empty is said once: for a placement, for a rule.
        let mut found: Vec<Looked> = Vec::new();
        for looked in &lists {
            let Case { placement, attributes, page_category, segments } = &looked.case;
            let asked = Asked { placement, attributes, page_category, segments };
            let is_said = found.iter().any(|found| looked.is_of(found));
            if !is_said && left.is_emptied(placements.get(placement), &rules, &asked) {
                empty.push(format!("{} shows nothing{from}", looked.whom()));
                found.push(looked.clone());
            }
        }
        lists.retain(|looked| !found.iter().any(|found| looked.is_of(found)));
    }

    let mut warnings = worded(empty, ": the rules leave it no item of today's catalogue");
    if left_out > 0 {
        warnings.push(format!("{left_out} further lists of rules were not looked at"));
    }
    warnings
}

/// A list that is looked at: any of a placement, or one that a rule asks for.
#[derive(Debug, Clone)]
struct Looked {
    case: Case,
    rule: Option<String>,
}

impl Looked {
    /// What is empty, in words.
    fn whom(&self) -> String {
        let asks = self.rule.as_ref().map(|rule| format!(" where {} asks", quoted(rule)));
        quoted(&self.case.placement) + &asks.unwrap_or_default()
    }

    /// Whether it is of the same rule as another, or of a placement whose lists are all like it.
    fn is_of(&self, other: &Self) -> bool {
        match &other.rule {
            None => self.case.placement == other.case.placement,
            rule => self.rule == *rule,
        }
    }
}

/// The lists to look at, each once: those of placements first; then those that rules ask for, the
/// first of each rule before the second of any. Returns also the number of those left out.
fn lists(set: &RuleSet, placements: &[String]) -> (Vec<Looked>, usize) {
    let plain = |name: &String| Looked { case: Case::plain(name), rule: None };
    let mut lists: Vec<Looked> = placements.iter().map(plain).collect();
    let asking = set.rules.iter().filter(|rule| rule.when.asks());
    let mut of_rules: Vec<_> =
        asking.map(|rule| (&rule.name, Case::of_rule(&rule.when, placements))).collect();
    let mut known: BTreeSet<Case> = BTreeSet::new();
    let mut left_out = 0;
    while !of_rules.is_empty() {
        of_rules.retain_mut(|(rule, cases)| {
            let Some(case) = cases.next() else { return false };
            if lists.len() >= LISTS {
                left_out += 1;
            } else if known.insert(case.clone()) {
                lists.push(Looked { case, rule: Some((*rule).clone()) });
            }
            true
        });
    }
    (lists, left_out)
}

/// Now, and when rules begin or end.
fn moments(set: &RuleSet, now_ms: i64, zone: &TimeZone) -> Vec<i64> {
    let schedules = set.rules.iter().map(|rule| &rule.when.schedule);
    let changes: BTreeSet<i64> = schedules
        .flat_map(|schedule| [schedule.next(now_ms, zone), schedule.end_ms])
        .flatten()
        .filter(|change| *change > now_ms)
        .collect();
    std::iter::once(now_ms).chain(changes.into_iter().take(MOMENTS)).collect()
}

/// A time, in words: ` from 2026-12-24 18:00 on`.
fn since(moment_ms: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_millisecond(moment_ms).unwrap_or_default();
    format!(" from {} on", time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M"))
}

/// The placements of a set that have no item to show.
pub(super) fn by_conditions(set: &PlacementSet, live: &Live, now_ms: i64) -> Vec<String> {
    let mut left = Left::new(live, now_ms);
    if left.shelf(None).count() == 0 {
        return Vec::new();
    }
    let empty = set.placements.iter().filter(|of| left.shelf(Some(of)).count() == 0);
    let names = empty.map(|placement| format!("{} shows nothing", quoted(&placement.name)));
    worded(names.collect(), ": no item of today's catalogue meets its condition")
}

fn worded(all: Vec<String>, why: &str) -> Vec<String> {
    let further = all.len().saturating_sub(NAMED);
    let named = all.iter().take(NAMED).map(|what| format!("{what}{why}"));
    let rest = (further > 0).then(|| format!("{further} further lists are empty too"));
    named.chain(rest).collect()
}

/// Counts what is left to show.
struct Left<'a> {
    live: &'a Live,
    now_ms: i64,
    /// What a placement may show without rules, by its name; "" for all without a condition.
    shelves: HashMap<&'a str, ItemMask>,
}

impl<'a> Left<'a> {
    fn new(live: &'a Live, now_ms: i64) -> Self {
        Self { live, now_ms, shelves: HashMap::new() }
    }

    /// The items of today's catalogue that a placement may show.
    fn shelf(&mut self, placement: Option<&'a Placement>) -> &ItemMask {
        let condition = placement.and_then(|placement| placement.condition.clone());
        let name = placement.filter(|_| condition.is_some()).map_or("", |of| of.name.as_str());
        self.shelves.entry(name).or_insert_with(|| {
            let filter = Filter { condition, ..Filter::default() };
            let items = self.live.items.read().len();
            let mut mask = ItemMask::default();
            self.live.catalogue.read().mask(&filter, items, self.now_ms, &mut mask);
            mask
        })
    }

    /// Whether rules leave a placement nothing of what it may show.
    fn is_emptied(
        &mut self,
        placement: Option<&'a Placement>,
        rules: &CompiledRules,
        asked: &Asked<'_>,
    ) -> bool {
        let shelf = self.shelf(placement);
        if shelf.count() == 0 {
            return false;
        }
        let mut left = shelf.clone();
        rules.active(asked).restrict(&mut left);
        left.count() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Rule, Select};

    fn rule(name: &str, cities: &[&str], pages: &[&str]) -> Rule {
        let owned = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        let cities = (!cities.is_empty()).then(|| ("city".to_owned(), owned(cities)));
        let when = When {
            user_attributes: cities.into_iter().collect(),
            page_categories: owned(pages),
            ..When::default()
        };
        Rule {
            name: name.into(),
            action: Action::Exclude,
            items: Select::default(),
            when,
            priority: 0,
            disabled: false,
        }
    }

    #[test]
    fn every_value_is_looked_at_once_and_no_rule_takes_the_place_of_another() {
        let rules = vec![
            rule("one", &["rome", "paris", "oslo"], &["tea", "mugs"]),
            rule("same", &["rome"], &["tea"]),
            rule("none", &[], &[]),
        ];
        let set = RuleSet { rules, ..RuleSet::default() };
        let (all, left_out) = lists(&set, &["home".to_owned(), "cart".to_owned()]);
        assert_eq!((all.len(), left_out), (6, 0), "{all:?}");
        let whom: Vec<String> = all.iter().map(Looked::whom).collect();
        assert_eq!(whom[..3], ["\"home\"", "\"cart\"", "\"home\" where \"one\" asks"]);
        let asked =
            |city: &str| all.iter().any(|of| of.case.attributes.values().any(|v| v == city));
        assert!(["rome", "paris", "oslo"].into_iter().all(asked), "{all:?}");

        let pages: Vec<String> = (0..64).map(|n| format!("page{n}")).collect();
        let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
        let rules = (0..20).map(|n| rule(&format!("r{n}"), &[&format!("city{n}")], &pages));
        let set = RuleSet { rules: rules.collect(), ..RuleSet::default() };
        let (all, left_out) = lists(&set, &["home".to_owned()]);
        assert_eq!((all.len(), left_out), (LISTS, 20 * 64 + 1 - LISTS));
        let of = |n: usize| all.iter().any(|of| of.rule == Some(format!("r{n}")));
        assert!((0..20).all(of));
    }
}
