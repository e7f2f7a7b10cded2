//! The rules that hold for one list.
//!
//! Conflicts are resolved in this order:
//!
//! 1. An excluded item is shown by no rule; nor is one that the request's filter, the user (`hide`)
//!    or the repeat policy forbids.
//! 2. Where rules include, only their items together are offered.
//! 3. Boosts, buries and targets multiply, to a product within the range of one rule.
//! 4. Pins take their places; of two that want one, the rule of higher priority, then the one that
//!    stands first in the set, has it, and the other takes the next free place.
//! 5. Quotas exchange the last items of their places that no pin holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compiled::{CompiledRule, CompiledRules, Part};
use super::rule::{Action, Rule, within_range};
use super::select::ItemSet;
use super::target::Target;
use crate::domain::ItemIdx;
use crate::live::ItemMask;

/// What a request says that rules ask for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The placement.
    pub placement: &'a str,
    /// The user's attributes.
    pub attributes: &'a BTreeMap<String, String>,
    /// The category of the page; empty for none.
    pub page_category: &'a str,
    /// Those of [`CompiledRules::segments`] that the user is in.
    pub segments: &'a [String],
}

/// The rules that hold for one list.
#[derive(Debug, Clone)]
pub struct ActiveRules<'r> {
    rules: &'r CompiledRules,
    parts: Vec<&'r Part>,
    /// The targets with their factors as of now.
    targets: Vec<(&'r CompiledRule, f32)>,
    largest: f32,
}

/// Items at a place.
#[derive(Debug, Clone, Copy)]
pub struct Pin<'r> {
    /// The rule, by its place among the compiled ones.
    pub rule: usize,
    /// The place of the first item, counted from 0.
    pub place: usize,
    /// The items.
    pub items: &'r [ItemIdx],
}

impl Pin<'_> {
    /// The pin in a list whose first places were shown before, with those of its items.
    pub fn after(self, shown_before: usize) -> Self {
        let shown = shown_before.saturating_sub(self.place).min(self.items.len());
        let place = self.place.saturating_sub(shown_before);
        Self { place, items: &self.items[shown..], ..self }
    }
}

/// A minimum number of items among the first places.
#[derive(Debug, Clone, Copy)]
pub struct Quota<'r> {
    /// The rule, by its place among the compiled ones.
    pub rule: usize,
    /// Its items.
    pub items: &'r ItemSet,
    /// The minimum.
    pub min: usize,
    /// Number of first places that are looked at.
    pub of: usize,
}

impl CompiledRules {
    /// The rules that hold for a request.
    pub fn active(&self, asked: &Asked<'_>) -> ActiveRules<'_> {
        let merged = self.part(asked.placement);
        let mut parts: Vec<&Part> = Vec::new();
        if !merged.rules.is_empty() {
            parts.push(merged);
        }
        let askers = self.askers(asked.attributes, asked.page_category, asked.segments);
        let holding =
            askers.into_iter().map(|at| self.rule(at)).filter(|rule| holds(&rule.rule, asked));
        parts.extend(holding.map(|rule| &rule.part));

        let targets = parts.iter().flat_map(|part| &part.targets).map(|&at| self.rule(at));
        let targets: Vec<(&CompiledRule, f32)> = targets
            .filter_map(|rule| Some((rule, rule.target.as_ref()?.factor() as f32)))
            .collect();
        let of_targets = targets.iter().map(|(_, factor)| factor.max(1.0));
        let of_parts = parts.iter().map(|part| part.largest);
        let largest = of_parts.chain(of_targets).fold(1.0, |all, one| within_range(all * one));
        ActiveRules { rules: self, parts, targets, largest }
    }
}

fn holds(rule: &Rule, asked: &Asked<'_>) -> bool {
    let when = &rule.when;
    let in_placement = when.placements.is_empty()
        || when.placements.iter().any(|placement| placement == asked.placement);
    let page = asked.page_category.trim_matches('/');
    let within = |category: &String| {
        let rest = page.strip_prefix(category.trim_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let on_page = when.page_categories.is_empty() || when.page_categories.iter().any(within);
    let in_segment = when.segments.is_empty()
        || when.segments.iter().any(|segment| asked.segments.contains(segment));
    in_placement
        && on_page
        && in_segment
        && when.user_attributes.iter().all(|(name, values)| {
            asked.attributes.get(name).is_some_and(|value| values.contains(value))
        })
}

impl<'r> ActiveRules<'r> {
    /// Whether none holds.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Some of the rules that hold, by their places among the compiled ones, ascending.
    fn of_parts(
        &self,
        which: impl Fn(&'r Part) -> &'r Vec<usize>,
    ) -> Vec<(usize, &'r CompiledRule)> {
        let mut all: Vec<usize> = self.parts.iter().flat_map(|part| which(part)).copied().collect();
        all.sort_unstable();
        all.into_iter().map(|at| (at, self.rules.rule(at))).collect()
    }

    /// Forbids what rules exclude, and what those that include leave out.
    pub fn restrict(&self, mask: &mut ItemMask) {
        let mut included = self.parts.iter().filter_map(|part| part.included.as_ref()).peekable();
        if included.peek().is_some() {
            let before = mask.clone();
            mask.clear();
            included.for_each(|items| items.allow_in(mask, &before));
        }
        let excluded = self.parts.iter().filter_map(|part| part.excluded.as_ref());
        excluded.for_each(|items| items.forbid_in(mask));
    }

    /// Whether scores change.
    pub fn has_factors(&self) -> bool {
        !self.targets.is_empty() || self.parts.iter().any(|part| !part.factors.is_empty())
    }

    /// Whether any rule changes a list's order, beyond what may be in it.
    pub fn moves(&self) -> bool {
        let places = |part: &&Part| !part.pins.is_empty() || !part.quotas.is_empty();
        self.has_factors() || self.parts.iter().any(places)
    }

    /// The largest factor that any item may have, at least 1.
    pub fn largest_factor(&self) -> f32 {
        self.largest
    }

    /// What an item's score is multiplied by; 1 where no rule concerns it.
    pub fn factor(&self, item: ItemIdx) -> f32 {
        let of_parts = self.parts.iter().filter_map(|part| part.factors.get(&item));
        let of_targets = self.targets.iter().filter(|(rule, _)| rule.items.contains(item));
        let all = of_parts.chain(of_targets.map(|(_, factor)| factor));
        all.fold(1.0, |product, factor| within_range(product * factor))
    }

    /// The rules whose factors an item has, each with the product of those before it and its own.
    pub fn products_of(&self, item: ItemIdx) -> Vec<(usize, f32)> {
        let concerned = self.of_parts(|part| &part.rules).into_iter();
        let concerned = concerned.filter(|(_, rule)| rule.items.contains(item));
        let factor = |(at, rule): (usize, &'r CompiledRule)| match rule.rule.action {
            Action::Boost(factor) | Action::Bury(factor) => Some((at, factor as f32)),
            Action::Target(_) => {
                let own = self.targets.iter().find(|(of, _)| std::ptr::eq(*of, rule));
                own.map(|(_, factor)| (at, *factor))
            }
            _ => None,
        };
        let mut product = 1.0;
        let step = |(at, factor): (usize, f32)| {
            product = within_range(product * factor);
            (at, product)
        };
        concerned.filter_map(factor).map(step).collect()
    }

    /// The sets of items that boosts, quotas and targets may bring into a list.
    pub fn raised(&self) -> impl Iterator<Item = &'r ItemSet> + use<'r, '_> {
        self.parts.iter().filter_map(|part| part.raised.as_ref())
    }

    /// The sets of items that lists must have some of: those of quotas and targets.
    pub fn wanted(&self) -> Vec<&'r ItemSet> {
        let wanted = self.of_parts(|part| &part.quotas).into_iter();
        let wanted = wanted.chain(self.of_parts(|part| &part.targets));
        wanted.map(|(_, rule)| &rule.items).collect()
    }

    /// The pins, in the order in which they take their places.
    pub fn pins(&self) -> Vec<Pin<'r>> {
        let all = self.of_parts(|part| &part.pins).into_iter();
        let pin = |(at, rule): (usize, &'r CompiledRule)| match rule.rule.action {
            Action::Pin(place) => Some(Pin { rule: at, place: place - 1, items: &rule.pinned }),
            _ => None,
        };
        all.filter_map(pin).collect()
    }

    /// The quotas, in the order in which they are filled.
    pub fn quotas(&self) -> Vec<Quota<'r>> {
        let all = self.of_parts(|part| &part.quotas).into_iter();
        let quota = |(at, rule): (usize, &'r CompiledRule)| match rule.rule.action {
            Action::Quota { min, of } => Some(Quota { rule: at, items: &rule.items, min, of }),
            _ => None,
        };
        all.filter_map(quota).collect()
    }

    /// The targets, each with the number of its items in a list.
    pub fn targets_in(&self, list: &[ItemIdx]) -> Vec<(Arc<Target>, usize)> {
        let of_list = |rule: &CompiledRule| {
            let shown = list.iter().filter(|&&item| rule.items.contains(item)).count();
            Some((rule.target.clone()?, shown))
        };
        self.targets.iter().filter_map(|(rule, _)| of_list(rule)).collect()
    }
}
