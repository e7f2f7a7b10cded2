//! Online metrics: what lists brought, by placement, variant, model generation, source and hour.

use std::collections::{BTreeMap, HashSet};

use indexmap::IndexSet;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::domain::{Generation, ItemIdx};

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;
/// Hours of a day.
const DAY: u32 = 24;
/// Hours after which the rows of a day are summed.
const HOURLY: u32 = 31 * DAY;
/// Hours after which rows are dropped.
const KEPT: u32 = 400 * DAY;
/// Maximum number of rows; beyond it the oldest leave.
const MAX_ROWS: usize = 500_000;
/// Maximum number of names of placements and variants; further ones are counted as [`OTHER`].
const MAX_NAMES: usize = 10_000;
/// The name of what has no name of its own.
const OTHER: &str = "other";

/// What a row is of. The hour comes first: rows of a range of time lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    /// Hours since 1970 at which the list was shown.
    hour: u32,
    placement: u16,
    variant: u16,
    /// The model.
    generation: Generation,
    /// Number of the source of the items; 0 for what is of whole lists.
    source: u8,
}

impl RowKey {
    /// The same for items of a source.
    pub fn of_source(self, source: u8) -> Self {
        Self { source, ..self }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Lists.
    pub lists: u64,
    /// Items in them.
    pub shown: u64,
    /// Items that were reported as seen.
    pub impressions: u64,
    /// Items that were clicked.
    pub clicks: u64,
    /// Items that were put into the cart.
    pub carts: u64,
    /// Purchases, by last touch.
    pub purchases: u64,
    /// Their revenue.
    pub revenue: f64,
    /// Purchases, by shares of all lists that showed the item.
    pub shared_purchases: f64,
    /// Their revenue.
    pub shared_revenue: f64,
    /// Refunds of these purchases.
    pub refunds: u64,
    /// What was given back.
    pub refunded: f64,
    /// Views with a time.
    pub timed_views: u64,
    /// The time of these, in milliseconds.
    pub dwell_ms: u64,
    /// Outcomes that name an answer that is not known.
    pub unattributed: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.lists += other.lists;
        self.shown += other.shown;
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.carts += other.carts;
        self.purchases += other.purchases;
        self.revenue += other.revenue;
        self.shared_purchases += other.shared_purchases;
        self.shared_revenue += other.shared_revenue;
        self.refunds += other.refunds;
        self.refunded += other.refunded;
        self.timed_views += other.timed_views;
        self.dwell_ms += other.dwell_ms;
        self.unattributed += other.unattributed;
    }

    /// Revenue less what was given back.
    pub fn net_revenue(&self) -> f64 {
        self.revenue - self.refunded
    }
}

/// What rows are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The hour at which the list was shown; days where rows are older than a month.
    Hour,
    /// The day, in UTC.
    Day,
    /// The placement, or the method that answered.
    Placement,
    /// The variant of an experiment.
    Variant,
    /// The model.
    Generation,
    /// The source of the items.
    Source,
}

impl Dimension {
    /// Number of dimensions.
    pub const COUNT: usize = 6;
}

/// A group of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The beginning of its time, in milliseconds since 1970; none where rows are not grouped by time.
    pub time_ms: Option<i64>,
    /// The placement; empty where rows are not grouped by it.
    pub placement: String,
    /// The variant, as "experiment/variant".
    pub variant: String,
    /// The model; 0 where rows are not grouped by it.
    pub generation: Generation,
    /// The number of the source; 0 where rows are not grouped by it.
    pub source: u8,
    /// What is counted.
    pub counts: Counts,
    /// What rates are of: items reported as seen in placements whose storefront reports any in this range,
    /// items shown in others.
    pub seen: u64,
    /// Distinct items shown; none where rows are grouped by generation, source or hour.
    pub items_shown: Option<u64>,
}

/// The rows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Metrics {
    rows: BTreeMap<RowKey, Counts>,
    /// Distinct items by day, placement and variant.
    items: BTreeMap<(u32, u16, u16), RoaringBitmap>,
    names: IndexSet<String, ahash::RandomState>,
    /// The newest hour so far.
    newest: u32,
}

impl Metrics {
    /// The key of a list's own row.
    pub fn key(
        &mut self,
        time_ms: i64,
        placement: &str,
        variant: &str,
        generation: Generation,
    ) -> RowKey {
        let hour = u32::try_from(time_ms / HOUR_MS).unwrap_or(0);
        let (placement, variant) = (self.intern(placement), self.intern(variant));
        RowKey { hour, placement, variant, generation, source: 0 }
    }

    fn intern(&mut self, name: &str) -> u16 {
        if let Some(at) = self.names.get_index_of(name) {
            return at as u16;
        }
        let name = if self.names.len() < MAX_NAMES { name } else { OTHER };
        self.names.insert_full(name.to_owned()).0 as u16
    }

    /// The row of a key, to count in it.
    pub fn row(&mut self, key: RowKey) -> &mut Counts {
        if key.hour > self.newest {
            self.newest = key.hour;
            self.shrink();
        }
        self.rows.entry(key).or_default()
    }

    /// Notes the items of a list.
    pub fn note_items(&mut self, key: RowKey, items: &[ItemIdx]) {
        let day = key.hour / DAY * DAY;
        let shown = self.items.entry((day, key.placement, key.variant)).or_default();
        for &item in items {
            // Most items were shown today already, and looking is cheaper than inserting.
            if !shown.contains(item) {
                shown.insert(item);
            }
        }
    }

    /// Sums old rows by day, and drops those that are older still, or too many.
    fn shrink(&mut self) {
        let hourly = self.newest.saturating_sub(HOURLY);
        while let Some((&key, _)) = self.rows.first_key_value()
            && (key.hour < self.newest.saturating_sub(KEPT) || self.rows.len() > MAX_ROWS)
        {
            self.rows.remove(&key);
        }

        let until = RowKey { hour: hourly, placement: 0, variant: 0, generation: 0, source: 0 };
        let of_hours: Vec<RowKey> = self
            .rows
            .range(..until)
            .map(|(key, _)| *key)
            .filter(|key| key.hour % DAY != 0)
            .collect();
        for key in of_hours {
            if let Some(counts) = self.rows.remove(&key) {
                let day = RowKey { hour: key.hour / DAY * DAY, ..key };
                self.rows.entry(day).or_default().add(&counts);
            }
        }
        let kept = self.newest.saturating_sub(KEPT);
        self.items = self.items.split_off(&(kept, 0, 0));
    }

    /// The groups of the lists shown from `from_ms` to before `until_ms`, in the order of their keys.
    pub fn groups(&self, from_ms: i64, until_ms: i64, by: &[Dimension]) -> Vec<Group> {
        let hour = |ms: i64| u32::try_from(ms.max(0) / HOUR_MS).unwrap_or(u32::MAX);
        // A range that ends within an hour takes that hour in.
        let (from, until) = (hour(from_ms), hour(until_ms.saturating_add(HOUR_MS - 1)));
        let rows = || self.rows.iter().filter(|(key, _)| (from..until).contains(&key.hour));
        let reporting: HashSet<u16> =
            rows().filter(|(_, of)| of.impressions > 0).map(|(key, _)| key.placement).collect();
        let mut groups: BTreeMap<RowKey, (Counts, u64)> = BTreeMap::new();
        for (key, of_row) in rows() {
            let (counts, seen) = groups.entry(grouped(*key, by)).or_default();
            counts.add(of_row);
            let reports = reporting.contains(&key.placement);
            *seen += if reports { of_row.impressions } else { of_row.shown };
        }

        let of_items = !by
            .iter()
            .any(|of| matches!(of, Dimension::Hour | Dimension::Generation | Dimension::Source));
        let mut items: BTreeMap<RowKey, RoaringBitmap> = BTreeMap::new();
        if of_items {
            let within = |day: u32| day + DAY > from && day < until;
            for (&(day, placement, variant), shown) in
                self.items.iter().filter(|((day, ..), _)| within(*day))
            {
                let key = RowKey { hour: day, placement, variant, generation: 0, source: 0 };
                *items.entry(grouped(key, by)).or_default() |= shown;
            }
        }

        let is_timed = by.iter().any(|of| matches!(of, Dimension::Hour | Dimension::Day));
        let name = |at: u16| self.names.get_index(at as usize).cloned().unwrap_or_default();
        let group = |(key, (counts, seen)): (RowKey, (Counts, u64))| Group {
            time_ms: is_timed.then_some(i64::from(key.hour) * HOUR_MS),
            placement: if by.contains(&Dimension::Placement) {
                name(key.placement)
            } else {
                "".into()
            },
            variant: if by.contains(&Dimension::Variant) { name(key.variant) } else { "".into() },
            generation: key.generation,
            source: key.source,
            counts,
            seen,
            items_shown: of_items.then(|| items.get(&key).map_or(0, RoaringBitmap::len)),
        };
        groups.into_iter().map(group).collect()
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let rows = self.rows.len() * (size_of::<RowKey>() + size_of::<Counts>());
        let items: usize = self.items.values().map(RoaringBitmap::serialized_size).sum();
        rows + items + self.names.iter().map(|name| name.len() + 32).sum::<usize>()
    }
}

/// A key with 0 for what rows are not grouped by.
fn grouped(key: RowKey, by: &[Dimension]) -> RowKey {
    let has = |dimension| by.contains(&dimension);
    let hour = match (has(Dimension::Hour), has(Dimension::Day)) {
        (true, _) => key.hour,
        (false, true) => key.hour / DAY * DAY,
        (false, false) => 0,
    };
    RowKey {
        hour,
        placement: if has(Dimension::Placement) { key.placement } else { 0 },
        variant: if has(Dimension::Variant) { key.variant } else { 0 },
        generation: if has(Dimension::Generation) { key.generation } else { 0 },
        source: if has(Dimension::Source) { key.source } else { 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_and_items_counted_once() {
        let mut metrics = Metrics::default();
        for (hour, placement, items) in
            [(10, "home", [1, 2]), (11, "home", [2, 3]), (30, "cart", [3, 4])]
        {
            let key = metrics.key(hour * HOUR_MS + 5, placement, "", 1);
            metrics.row(key).lists += 1;
            metrics.row(key.of_source(4)).shown += 2;
            metrics.note_items(key, &items);
        }

        let all = metrics.groups(0, i64::MAX, &[]);
        assert_eq!((all.len(), all[0].counts.lists, all[0].items_shown), (1, 3, Some(4)));
        let by = metrics.groups(0, i64::MAX, &[Dimension::Placement]);
        let of = |group: &Group| (group.placement.clone(), group.counts.lists, group.items_shown);
        let found: Vec<_> = by.iter().map(of).collect();
        assert_eq!(found, [("home".into(), 2, Some(3)), ("cart".into(), 1, Some(2))]);

        let by_day = metrics.groups(0, i64::MAX, &[Dimension::Day]);
        assert_eq!(
            by_day.iter().map(|g| g.time_ms).collect::<Vec<_>>(),
            [Some(0), Some(86_400_000)]
        );
        let first = metrics.groups(10 * HOUR_MS, 11 * HOUR_MS, &[Dimension::Source]);
        let shown: Vec<_> = first.iter().map(|g| (g.source, g.counts.shown)).collect();
        assert_eq!((shown, first[0].items_shown), (vec![(0, 0), (4, 2)], None));
    }

    #[test]
    fn old_hours_become_days_and_then_leave() {
        let mut metrics = Metrics::default();
        let count = |metrics: &mut Metrics, hour: i64| {
            let key = metrics.key(hour * HOUR_MS, "home", "", 1);
            metrics.row(key).lists += 1;
        };
        count(&mut metrics, 1);
        count(&mut metrics, 2);
        count(&mut metrics, 2 + i64::from(HOURLY) + 48);
        let by_hour = |metrics: &Metrics| metrics.groups(0, i64::MAX, &[Dimension::Hour]).len();
        assert_eq!(by_hour(&metrics), 2);
        assert_eq!(metrics.groups(0, i64::MAX, &[])[0].counts.lists, 3);
        count(&mut metrics, 100 + i64::from(KEPT));
        assert_eq!(metrics.groups(0, i64::MAX, &[])[0].counts.lists, 2, "the first day is gone");
    }
}
