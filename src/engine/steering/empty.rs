//! Which lists decisions leave empty with today's catalogue.

use std::collections::{BTreeMap, HashMap};

use crate::domain::quote::quoted;
use crate::live::{Filter, ItemMask, Live};
use crate::recommend::{Placement, PlacementSet};
use crate::rules::{Asked, CompiledRules, Rule};

/// Warnings of one kind that are written; further ones are counted.
const NAMED: usize = 10;
/// The placement of a rule that names none.
const ANY: &str = "recommend";

/// What a list is asked for: a placement, and a rule that asks for more than that.
type Case<'a> = (String, Asked<'a>);

/// The lists that rules leave empty: those of each placement, and those of users and pages that a
/// single rule asks for.
pub(super) fn by_rules(
    rules: &CompiledRules,
    placements: &PlacementSet,
    live: &Live,
    now_ms: i64,
) -> Vec<String> {
    let none = BTreeMap::new();
    let names = placements.names();
    let plain = names.iter().map(|placement| {
        let asked = Asked { placement, attributes: &none, page_category: "" };
        (quoted(placement), asked)
    });

    let asking: Vec<_> = rules.rules().iter().filter(|rule| rule.rule.when.asks()).collect();
    let first = |rule: &Rule| -> BTreeMap<String, String> {
        let all = rule.when.user_attributes.iter();
        all.filter_map(|(name, values)| Some((name.clone(), values.first()?.clone()))).collect()
    };
    let attributes: Vec<_> = asking.iter().map(|compiled| first(&compiled.rule)).collect();
    let of_rules = asking.iter().zip(&attributes).map(|(compiled, attributes)| {
        let when = &compiled.rule.when;
        let placement = when.placements.first().map_or(ANY, String::as_str);
        let page_category = when.page_categories.first().map_or("", String::as_str);
        let whom = format!("{} where {} asks", quoted(placement), quoted(&compiled.rule.name));
        (whom, Asked { placement, attributes, page_category })
    });

    let mut left = Left::new(live, now_ms);
    let is_empty =
        |(_, asked): &Case<'_>| left.is_emptied(placements.get(asked.placement), rules, asked);
    let empty = plain.chain(of_rules).filter(is_empty).map(|(whom, _)| whom);
    worded(empty.collect(), "shows nothing: the rules leave it no item of today's catalogue")
}

/// The placements of a set that have no item to show.
pub(super) fn by_conditions(set: &PlacementSet, live: &Live, now_ms: i64) -> Vec<String> {
    let mut left = Left::new(live, now_ms);
    if left.shelf(None).count() == 0 {
        return Vec::new();
    }
    let empty = set.placements.iter().filter(|of| left.shelf(Some(of)).count() == 0);
    let names = empty.map(|placement| quoted(&placement.name)).collect();
    worded(names, "shows nothing: no item of today's catalogue meets its condition")
}

fn worded(all: Vec<String>, what: &str) -> Vec<String> {
    let further = all.len().saturating_sub(NAMED);
    let named = all.iter().take(NAMED).map(|whom| format!("{whom} {what}"));
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
