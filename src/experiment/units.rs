//! What the units of an experiment, users or sessions, did since they first saw one of its lists.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::definition::Metric;
use super::interleaving::Team;
use super::statistics::Sample;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Maximum number of variants that units are kept of.
const MAX_VARIANTS: usize = 16;
/// Maximum number of units of an experiment; further ones are not counted. Some 90 bytes each.
const MAX_UNITS: usize = 10_000_000;
/// How far the clocks of a storefront and of the server may differ, in milliseconds.
pub(super) const SKEW_MS: i64 = 300_000;
/// Maximum number of days whose state is kept.
const MAX_DAYS: usize = 400;

/// A user, or a session of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnitId {
    /// A user.
    User(u32),
    /// The hash of a session's id.
    Session(u64),
}

/// What a unit did since it first saw a list of the experiment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// The position of its variant's name.
    variant: u8,
    /// Whether it saw lists of two variants: it counts for none.
    mixed: bool,
    /// When it first saw one, in milliseconds since 1970.
    since_ms: i64,
    /// Items of the experiment's lists that it was shown.
    shown: u32,
    /// Of these, items that it clicked.
    clicks: u32,
    /// Purchases of any item.
    purchases: u32,
    /// Their revenue, refunds taken back.
    revenue: f64,
    /// Purchases before.
    purchases_before: f32,
    /// Revenue before.
    revenue_before: f32,
    /// With interleaving: clicks, then revenue, of the second list's items less those of the first's.
    preference: (i32, f64),
}

/// What a unit did before it first saw a list.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Before {
    /// Purchases.
    pub purchases: f32,
    /// Revenue.
    pub revenue: f32,
}

/// What is counted for a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deed {
    /// A click on a list of the experiment.
    Click,
    /// A purchase of any item, of this revenue.
    Purchase(f64),
    /// A refund of any item, of this revenue.
    Refund(f64),
}

/// The samples of a variant's units, by metric: each beside the same from before the experiment, or for
/// click-through beside the items shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Samples([Sample; Metric::ALL.len()]);

impl Samples {
    /// The sample of a metric.
    pub fn of(&self, metric: Metric) -> Sample {
        self.0[metric as usize]
    }

    fn add(&mut self, unit: &Unit) {
        for metric in Metric::ALL {
            let (y, x) = match metric {
                Metric::Conversion => {
                    let converted = f64::from(u8::from(unit.purchases > 0));
                    (converted, f64::from(unit.purchases_before.min(1.0)))
                }
                Metric::Revenue => (unit.revenue, f64::from(unit.revenue_before)),
                Metric::ClickThrough => (f64::from(unit.clicks), f64::from(unit.shown)),
            };
            self.0[metric as usize].add(y, x);
        }
    }
}

/// What a report needs of the units of an experiment.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Names of variants, with their samples.
    variants: Vec<(String, Samples)>,
    /// Units that saw lists of two variants.
    pub mixed: u64,
    /// How much units prefer the second of two interleaved lists: the sign of its clicks, and its revenue,
    /// less the first's.
    pub preferences: (Sample, Sample),
    /// By day since 1970, the conversion of every variant at its end.
    days: Vec<(i64, Vec<Sample>)>,
}

impl Summary {
    /// The samples of a variant; empty ones for one that no unit saw.
    pub fn of(&self, variant: &str) -> Samples {
        let known = self.variants.iter().find(|(name, _)| name == variant);
        known.map_or_else(Samples::default, |(_, samples)| *samples)
    }

    /// The conversions of these variants at the end of each day.
    pub fn days(&self, variants: &[&str]) -> Vec<(i64, Vec<Sample>)> {
        let place = |name: &&str| self.variants.iter().position(|(known, _)| known == name);
        let places: Vec<_> = variants.iter().map(place).collect();
        let of_day = |samples: &Vec<Sample>| {
            let sample = |at: &Option<usize>| at.and_then(|at| samples.get(at).copied());
            places.iter().map(|at| sample(at).unwrap_or_default()).collect()
        };
        self.days.iter().map(|(day, samples)| (*day, of_day(samples))).collect()
    }
}

/// The units of one experiment.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Units {
    units: HashMap<UnitId, Unit, ahash::RandomState>,
    /// Names of variants in the order in which they were seen.
    variants: Vec<String>,
    /// By day since 1970, the samples of the conversion at its end, for curves.
    days: BTreeMap<i64, Vec<Sample>>,
    today: i64,
    /// The end of the experiment, in milliseconds since 1970; none while it runs.
    until_ms: Option<i64>,
}

impl Units {
    /// Notes a list that a unit is shown; `before` is asked of a new one.
    pub fn note_list(
        &mut self,
        id: UnitId,
        variant: &str,
        items: usize,
        time_ms: i64,
        before: impl FnOnce() -> Before,
    ) {
        if self.is_over(time_ms) || (self.units.len() >= MAX_UNITS && !self.units.contains_key(&id))
        {
            return;
        }
        self.turn_to(time_ms / DAY_MS);
        let Some(variant) = self.variant(variant) else { return };

        let new = || {
            let Before { purchases, revenue } = before();
            Unit {
                variant,
                since_ms: time_ms,
                purchases_before: purchases,
                revenue_before: revenue,
                ..Unit::default()
            }
        };
        let unit = self.units.entry(id).or_insert_with(new);
        unit.mixed |= unit.variant != variant;
        unit.shown += items as u32;
    }

    fn variant(&mut self, name: &str) -> Option<u8> {
        let known = self.variants.iter().position(|known| known == name);
        if known.is_none() && self.variants.len() < MAX_VARIANTS {
            self.variants.push(name.to_owned());
        }
        let known = known.or_else(|| self.variants.iter().rposition(|last| last == name));
        known.map(|at| at as u8)
    }

    fn is_over(&self, time_ms: i64) -> bool {
        self.until_ms.is_some_and(|until_ms| time_ms > until_ms)
    }

    /// Ends the experiment: what units do later does not count.
    pub fn end(&mut self, until_ms: i64) {
        self.until_ms = Some(until_ms);
    }

    /// Lets a unit go on under another id, once the store knows a user by theirs.
    pub fn rename(&mut self, from: UnitId, to: UnitId) {
        if !self.units.contains_key(&to)
            && let Some(unit) = self.units.remove(&from)
        {
            self.units.insert(to, unit);
        }
    }

    /// Notes what a unit does at a time; nothing before it saw a list and after the end. Whether there is
    /// such a unit.
    pub fn note_deed(&mut self, id: UnitId, deed: Deed, time_ms: i64) -> bool {
        let is_over = self.is_over(time_ms);
        let Some(unit) = self.units.get_mut(&id) else { return false };
        if is_over || time_ms < unit.since_ms - SKEW_MS {
            return true;
        }
        match deed {
            Deed::Click => unit.clicks += 1,
            Deed::Purchase(revenue) => {
                unit.purchases += 1;
                unit.revenue += revenue;
            }
            // What was bought before the experiment is not its to lose.
            Deed::Refund(revenue) if unit.purchases > 0 => {
                unit.purchases -= 1;
                unit.revenue -= revenue.min(unit.revenue);
            }
            Deed::Refund(_) => {}
        }
        true
    }

    /// Notes that a unit clicked, or bought, an item that one of two interleaved lists brought.
    pub fn note_preference(&mut self, id: UnitId, team: Team, deed: Deed) {
        let Some(unit) = self.units.get_mut(&id) else { return };
        let sign = team.sign();
        match deed {
            Deed::Click => unit.preference.0 += sign,
            Deed::Purchase(revenue) => unit.preference.1 += f64::from(sign) * revenue,
            Deed::Refund(revenue) => unit.preference.1 -= f64::from(sign) * revenue,
        }
    }

    /// Forgets a unit.
    pub fn erase(&mut self, id: UnitId) {
        self.units.remove(&id);
    }

    /// Keeps the state of the day that ends.
    fn turn_to(&mut self, day: i64) {
        if day <= self.today {
            return;
        }
        if self.today > 0 && !self.units.is_empty() {
            let conversions = self.summary().variants.into_iter();
            let conversions = conversions.map(|(_, samples)| samples.of(Metric::Conversion));
            self.days.insert(self.today, conversions.collect());
            while self.days.len() > MAX_DAYS {
                self.days.pop_first();
            }
        }
        self.today = day;
    }

    /// What a report needs of the units, in one pass over them.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            variants: self.variants.iter().map(|name| (name.clone(), Samples::default())).collect(),
            days: self.days.iter().map(|(day, samples)| (*day, samples.clone())).collect(),
            ..Summary::default()
        };
        for unit in self.units.values() {
            let (clicks, revenue) = unit.preference;
            summary.preferences.0.add(f64::from(clicks.signum()), 0.0);
            summary.preferences.1.add(revenue, 0.0);
            if unit.mixed {
                summary.mixed += 1;
            } else {
                summary.variants[unit.variant as usize].1.add(unit);
            }
        }
        summary
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let unit = size_of::<UnitId>() + size_of::<Unit>() + 8;
        let day = self.variants.len() * size_of::<Sample>() + 64;
        self.units.capacity() * unit + self.days.len() * day
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_counts_for_the_variant_it_saw() {
        let mut units = Units::default();
        let none = Before::default;
        let loyal = || Before { purchases: 3.0, revenue: 40.0 };
        units.note_list(UnitId::User(1), "a", 10, DAY_MS, loyal);
        units.note_list(UnitId::User(2), "b", 10, DAY_MS, none);
        units.note_list(UnitId::User(3), "b", 10, DAY_MS, none);
        units.note_list(UnitId::Session(4), "b", 5, DAY_MS, none);
        units.note_deed(UnitId::User(1), Deed::Purchase(10.0), DAY_MS);
        units.note_deed(UnitId::User(1), Deed::Refund(4.0), DAY_MS);
        units.note_deed(UnitId::User(2), Deed::Purchase(20.0), DAY_MS);
        units.note_deed(UnitId::User(2), Deed::Click, DAY_MS);
        units.note_deed(UnitId::User(9), Deed::Purchase(1_000.0), DAY_MS);

        let sample = |units: &Units, variant, metric| units.summary().of(variant).of(metric);
        assert_eq!(sample(&units, "a", Metric::Revenue).mean(), 6.0);
        assert_eq!(sample(&units, "a", Metric::Conversion).mean(), 0.0, "it was given back");
        assert_eq!(sample(&units, "b", Metric::Conversion).n, 3);
        let ratio = sample(&units, "b", Metric::ClickThrough).ratio().unwrap();
        assert!((ratio.value - 1.0 / 25.0).abs() < 1e-12);

        // What happens before the first list, or after the end, is no part of it.
        assert!(units.note_deed(UnitId::User(3), Deed::Purchase(9.0), DAY_MS / 2));
        assert!(!units.note_deed(UnitId::User(9), Deed::Purchase(9.0), DAY_MS));
        assert!((sample(&units, "b", Metric::Revenue).mean() - 20.0 / 3.0).abs() < 1e-9);

        // Who sees both counts for neither.
        units.note_list(UnitId::User(3), "a", 10, DAY_MS, none);
        assert_eq!((sample(&units, "b", Metric::Conversion).n, units.summary().mixed), (2, 1));
        units.erase(UnitId::User(2));
        assert_eq!(sample(&units, "b", Metric::Revenue).n, 1);
        units.rename(UnitId::Session(4), UnitId::User(4));
        units.end(2 * DAY_MS);
        units.note_deed(UnitId::User(4), Deed::Purchase(7.0), DAY_MS);
        units.note_deed(UnitId::User(4), Deed::Purchase(100.0), 3 * DAY_MS);
        assert_eq!(sample(&units, "b", Metric::Revenue).mean(), 7.0);
    }

    #[test]
    fn days_and_preferences_are_kept() {
        let mut units = Units::default();
        units.note_list(UnitId::User(1), "both", 10, DAY_MS, Before::default);
        units.note_preference(UnitId::User(1), Team::Second, Deed::Click);
        units.note_preference(UnitId::User(1), Team::Second, Deed::Click);
        units.note_preference(UnitId::User(1), Team::First, Deed::Purchase(5.0));
        let (clicks, revenue) = units.summary().preferences;
        assert_eq!((clicks.mean(), revenue.mean()), (1.0, -5.0));

        units.note_list(UnitId::User(2), "both", 10, 3 * DAY_MS, Before::default);
        let days = units.summary().days(&["both", "none"]);
        assert_eq!(days.len(), 1);
        assert_eq!((days[0].0, days[0].1[0].n, days[0].1[1].n), (1, 1, 0));
    }
}
