//! The rules in force against a catalogue: the items of each as a set, and for each placement the
//! rules that ask nothing of the user or the page merged into one part, so that a thousand rules cost
//! a list hardly more than one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ahash::AHashMap;
use roaring::RoaringBitmap;

use super::rule::{Action, Rule, RuleSet, within_range};
use super::select::ItemSet;
use super::target::Target;
use crate::domain::quote::quoted;
use crate::domain::{ItemIdx, Violation};
use crate::live::Live;

/// Unknown items of a rule that a warning names.
const NAMED: usize = 3;

/// The rules in force, ready for requests.
#[derive(Debug, Default)]
pub struct CompiledRules {
    rules: Vec<CompiledRule>,
    /// The rules that ask nothing of the user or the page, merged, by placement; those of all
    /// placements are in each.
    by_placement: HashMap<String, Part>,
    /// The same for placements that no rule names.
    elsewhere: Part,
    /// The others, by the value of a user's attribute that they ask for.
    by_attribute: BTreeMap<String, BTreeMap<String, Vec<usize>>>,
    /// The others, by the saved segment that they ask for.
    by_segment: BTreeMap<String, Vec<usize>>,
    /// The saved segments that rules ask for, each once.
    segments: Vec<String>,
    /// Those that ask for a page alone, by its category.
    by_category: BTreeMap<String, Vec<usize>>,
    /// What holds the shares of all targets of the set, in their time or not, by the rule's name.
    targets: BTreeMap<String, Arc<Target>>,
}

/// A rule in force.
#[derive(Debug)]
pub struct CompiledRule {
    /// The rule.
    pub rule: Rule,
    /// Its items.
    pub items: ItemSet,
    /// The items to pin, in their order.
    pub pinned: Vec<ItemIdx>,
    /// What holds its share.
    pub target: Option<Arc<Target>>,
    /// What it does alone.
    pub(super) part: Part,
}

/// What some rules do together.
#[derive(Debug, Default)]
pub struct Part {
    /// The rules, by their places among the compiled ones, ascending.
    pub(super) rules: Vec<usize>,
    pub(super) excluded: Option<ItemSet>,
    pub(super) included: Option<ItemSet>,
    /// By item, the product of all boosts and buries.
    pub(super) factors: AHashMap<ItemIdx, f32>,
    /// The largest of them, at least 1.
    pub(super) largest: f32,
    /// Those of its rules that pin, that have quotas, and that have targets, by their places.
    pub(super) pins: Vec<usize>,
    pub(super) quotas: Vec<usize>,
    pub(super) targets: Vec<usize>,
    /// Items that boosts, quotas and targets may bring into a list.
    pub(super) raised: Option<ItemSet>,
}

impl CompiledRules {
    /// Compiles those rules of a checked set that are in force at a time, in milliseconds since 1970.
    /// Targets go on from those of `before` with the same name and share. Live state is read one rule
    /// at a time, so that no write waits for long.
    ///
    /// # Errors
    /// Where the time zone is not known.
    pub fn new(set: &RuleSet, live: &Live, now_ms: i64, before: &Self) -> Result<Self, Violation> {
        let zone = set.zone()?;
        let in_force = |rule: &&Rule| !rule.disabled && rule.when.schedule.holds(now_ms, &zone);
        let mut rules: Vec<&Rule> = set.rules.iter().filter(in_force).collect();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));

        let targets = targets(set, before);
        let len = live.items.read().len();
        let selected: Vec<RoaringBitmap> =
            rules.iter().map(|rule| rule.items.items(live, now_ms)).collect();
        let merge = |of: Vec<usize>| Part::merged(of, &rules, &selected, len);

        let plain = |&at: &usize| !rules[at].when.asks();
        let plain: Vec<usize> = (0..rules.len()).filter(plain).collect();
        let named: BTreeSet<&String> =
            rules.iter().flat_map(|rule| &rule.when.placements).collect();
        let holds_in = |at: usize, placement: &str| {
            let placements = &rules[at].when.placements;
            placements.is_empty() || placements.iter().any(|named| named == placement)
        };
        let of_placement = |placement: &str| -> Vec<usize> {
            plain.iter().copied().filter(|&at| holds_in(at, placement)).collect()
        };
        let by_placement =
            named.into_iter().map(|name| (name.clone(), merge(of_placement(name)))).collect();
        let elsewhere = merge(of_placement(""));

        let mut compiled = Self {
            by_placement,
            elsewhere,
            rules: Vec::with_capacity(rules.len()),
            ..Self::default()
        };
        compiled.index_askers(&rules);
        let segments: BTreeSet<&String> =
            rules.iter().flat_map(|rule| &rule.when.segments).collect();
        compiled.segments = segments.into_iter().cloned().collect();
        for (at, rule) in rules.iter().enumerate() {
            let part = if rule.when.asks() { merge(vec![at]) } else { Part::default() };
            compiled.rules.push(CompiledRule {
                rule: (*rule).clone(),
                items: ItemSet::new(selected[at].clone(), len),
                pinned: pinned(rule, live),
                target: targets.get(&rule.name).cloned(),
                part,
            });
        }
        compiled.targets = targets;
        Ok(compiled)
    }

    fn index_askers(&mut self, rules: &[&Rule]) {
        for (at, rule) in rules.iter().enumerate() {
            if let Some((name, values)) = rule.when.user_attributes.first_key_value() {
                let of_name = self.by_attribute.entry(name.clone()).or_default();
                values.iter().for_each(|v| of_name.entry(v.clone()).or_default().push(at));
                continue;
            }
            if !rule.when.segments.is_empty() {
                let of = rule.when.segments.iter();
                of.for_each(|name| self.by_segment.entry(name.clone()).or_default().push(at));
                continue;
            }
            for category in &rule.when.page_categories {
                let category = category.trim_matches('/').to_owned();
                self.by_category.entry(category).or_default().push(at);
            }
        }
    }

    /// The rules in force, those of the highest priority first.
    pub fn rules(&self) -> &[CompiledRule] {
        &self.rules
    }

    /// The rule at a place.
    pub fn rule(&self, at: usize) -> &CompiledRule {
        &self.rules[at]
    }

    /// Whether a rule asks for users' attributes.
    pub fn asks_for_attributes(&self) -> bool {
        !self.by_attribute.is_empty()
    }

    /// The merged part of a placement.
    pub(super) fn part(&self, placement: &str) -> &Part {
        self.by_placement.get(placement).unwrap_or(&self.elsewhere)
    }

    /// The saved segments that rules ask for.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The rules that ask something which the user, or the page, may meet; in their order.
    pub(super) fn askers(
        &self,
        attributes: &BTreeMap<String, String>,
        page_category: &str,
        segments: &[String],
    ) -> Vec<usize> {
        let mut found = Vec::new();
        for (name, value) in attributes {
            let of_value = self.by_attribute.get(name).and_then(|values| values.get(value));
            found.extend(of_value.into_iter().flatten());
        }
        for segment in segments {
            found.extend(self.by_segment.get(segment).into_iter().flatten());
        }
        let mut above = Some(page_category.trim_matches('/')).filter(|path| !path.is_empty());
        while let Some(path) = above {
            found.extend(self.by_category.get(path).into_iter().flatten());
            above = path.rsplit_once('/').map(|(above, _)| above);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What stands out in a set of rules with today's catalogue: rules without an item, and unknown
    /// items.
    pub fn warnings(set: &RuleSet, live: &Live, now_ms: i64) -> Vec<String> {
        let mut warnings = Vec::new();
        for rule in set.rules.iter().filter(|rule| !rule.disabled) {
            let name = quoted(&rule.name);
            let unknown: Vec<&String> =
                rule.items.ids.iter().filter(|id| live.item(id).is_none()).collect();
            if rule.items.items(live, now_ms).is_empty() {
                let effect = match rule.action {
                    Action::Include => "its lists are empty until one comes",
                    _ => "it does nothing until one comes",
                };
                warnings.push(format!("{name} matches no item of today's catalogue: {effect}"));
            } else if !unknown.is_empty() {
                let named: Vec<String> = unknown.iter().take(NAMED).map(|id| quoted(id)).collect();
                let more = if unknown.len() > NAMED { ", …" } else { "" };
                warnings.push(format!(
                    "{name} names {} items that the store does not know: {}{more}",
                    unknown.len(),
                    named.join(", ")
                ));
            }
        }
        warnings
    }
}

impl Part {
    fn merged(of: Vec<usize>, rules: &[&Rule], selected: &[RoaringBitmap], len: usize) -> Self {
        let mut included: Option<RoaringBitmap> = None;
        let (mut excluded, mut raised) = (RoaringBitmap::new(), RoaringBitmap::new());
        let mut factors: AHashMap<ItemIdx, f32> = AHashMap::new();
        for &at in &of {
            let items = &selected[at];
            match rules[at].action {
                Action::Exclude => excluded |= items,
                Action::Include => *included.get_or_insert_default() |= items,
                Action::Boost(factor) | Action::Bury(factor) => {
                    for item in items {
                        let product = factors.entry(item).or_insert(1.0);
                        *product = within_range(*product * factor as f32);
                    }
                }
                Action::Quota { .. } | Action::Target(_) => raised |= items,
                Action::Pin(_) => {}
            }
        }

        let boosted = factors.iter().filter(|(_, factor)| **factor > 1.0).map(|(item, _)| *item);
        raised.extend(boosted);
        // A rule without an item today changes no list.
        let those = |does: fn(&Action) -> bool| -> Vec<usize> {
            let with_items = of.iter().copied().filter(|&at| !selected[at].is_empty());
            with_items.filter(|&at| does(&rules[at].action)).collect()
        };
        let pins = those(|action| matches!(action, Action::Pin(_)));
        let quotas = those(|action| matches!(action, Action::Quota { .. }));
        let targets = those(|action| matches!(action, Action::Target(_)));
        let largest = factors.values().copied().fold(1.0, f32::max);
        let set = |items: RoaringBitmap| (!items.is_empty()).then(|| ItemSet::new(items, len));
        Self {
            rules: of,
            excluded: set(excluded),
            // An include without an item leaves nothing.
            included: included.map(|items| ItemSet::new(items, len)),
            factors,
            largest,
            pins,
            quotas,
            targets,
            raised: set(raised),
        }
    }
}

fn pinned(rule: &Rule, live: &Live) -> Vec<ItemIdx> {
    match rule.action {
        Action::Pin(_) => rule.items.ids.iter().filter_map(|id| live.item(id)).collect(),
        _ => Vec::new(),
    }
}

/// What holds the shares of a set's targets, with what they have learned so far.
fn targets(set: &RuleSet, before: &CompiledRules) -> BTreeMap<String, Arc<Target>> {
    let target = |rule: &Rule| {
        let Action::Target(share) = rule.action else { return None };
        let same = before.targets.get(&rule.name).filter(|target| target.share() == share);
        let target = same.cloned().unwrap_or_else(|| Arc::new(Target::new(share)));
        Some((rule.name.clone(), target))
    };
    set.rules.iter().filter(|rule| !rule.disabled).filter_map(target).collect()
}
