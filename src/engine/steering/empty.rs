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
/// Beginnings of rules that are looked at, the nearest ones.
const MOMENTS: usize = 16;
/// Lists of one rule that are looked at.
const LISTS: usize = 200;

/// A list that is asked for: any of a placement, or one that a rule asks for.
struct Case {
    rule: Option<String>,
    placement: String,
    attributes: BTreeMap<String, String>,
    page_category: String,
}

impl Case {
    fn plain(placement: &str) -> Self {
        Self {
            rule: None,
            placement: placement.to_owned(),
            attributes: BTreeMap::new(),
            page_category: String::new(),
        }
    }

    /// What is empty, in words.
    fn whom(&self) -> String {
        let asks = self.rule.as_ref().map(|rule| format!(" where {} asks", quoted(rule)));
        quoted(&self.placement) + &asks.unwrap_or_default()
    }

    /// Whether it is part of another, or of the same rule.
    fn is_of(&self, other: &Self) -> bool {
        match &other.rule {
            None => self.placement == other.placement,
            rule => self.rule == *rule,
        }
    }

    /// The lists that a rule asks for, one value at a time.
    fn of_rule(name: &str, when: &When, placements: &[String]) -> Vec<Self> {
        let own = if when.placements.is_empty() { placements } else { &when.placements };
        let pages = if when.page_categories.is_empty() {
            vec![String::new()]
        } else {
            when.page_categories.clone()
        };

        let first = when.user_attributes.iter();
        let first: BTreeMap<String, String> = first
            .filter_map(|(name, values)| Some((name.clone(), values.first()?.clone())))
            .collect();
        let mut users = vec![first.clone()];
        for (name, values) in &when.user_attributes {
            let other = |value: &String| {
                let mut user = first.clone();
                user.insert(name.clone(), value.clone());
                user
            };
            users.extend(values.iter().skip(1).map(other));
        }

        let on_pages = |user| pages.iter().map(move |page| (user, page));
        let asked: Vec<(&BTreeMap<String, String>, &String)> =
            users.iter().flat_map(on_pages).collect();
        let case = |placement: &String, (user, page): &(&BTreeMap<String, String>, &String)| Self {
            rule: Some(name.to_owned()),
            placement: placement.clone(),
            attributes: (*user).clone(),
            page_category: (*page).clone(),
        };
        let lists =
            own.iter().flat_map(|placement| asked.iter().map(move |of| case(placement, of)));
        lists.take(LISTS).collect()
    }
}

/// The lists that rules leave empty, now or when a rule begins: those of each placement, and those of
/// users and pages that a single rule asks for.
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

    let names = placements.names();
    let plain = names.iter().map(|name| Case::plain(name));
    let asking = set.rules.iter().filter(|rule| rule.when.asks());
    let of_rules = asking.flat_map(|rule| Case::of_rule(&rule.name, &rule.when, &names));
    let mut cases: Vec<Case> = plain.chain(of_rules).collect();

    let mut left = Left::new(live, now_ms);
    let mut empty = Vec::new();
    for moment_ms in moments(&set, now_ms, &zone) {
        let Ok(rules) = CompiledRules::new(&set, live, moment_ms, &CompiledRules::default()) else {
            continue;
        };
        let from = if moment_ms > now_ms { began(moment_ms, &zone) } else { String::new() };
        let mut at = 0;
        while let Some(case) = cases.get(at) {
            let asked = Asked {
                placement: &case.placement,
                attributes: &case.attributes,
                page_category: &case.page_category,
            };
            if left.is_emptied(placements.get(&case.placement), &rules, &asked) {
                empty.push(format!("{} shows nothing{from}", case.whom()));
                // What is empty is said once.
                let found = cases.remove(at);
                cases.retain(|other| !other.is_of(&found));
            } else {
                at += 1;
            }
        }
    }
    worded(empty, ": the rules leave it no item of today's catalogue")
}

/// Now, and when rules begin that do not hold now.
fn moments(set: &RuleSet, now_ms: i64, zone: &TimeZone) -> Vec<i64> {
    let begin = set.rules.iter().filter_map(|rule| rule.when.schedule.next(now_ms, zone));
    let moments: BTreeSet<i64> = begin.chain([now_ms]).collect();
    moments.into_iter().take(MOMENTS).collect()
}

/// A beginning, in words: ` from 2026-12-24 18:00 on`.
fn began(moment_ms: i64, zone: &TimeZone) -> String {
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
