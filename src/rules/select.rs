//! The items of a rule: as data, and as a set.

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use crate::domain::{DAY_MS, ItemIdx, Violation, limits};
use crate::live::{Condition, ItemMask, Live};

/// Maximum number of items that a rule names.
pub const MAX_ITEMS: usize = 1_000;

/// The items of a rule: those of any of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// Items by id; pinned in this order.
    pub ids: Vec<String>,
    /// Items for which a condition holds.
    pub condition: Option<Condition>,
    /// Items whose validity began within this number of days; 0: not asked.
    pub arrived_within_days: u32,
}

impl Select {
    /// Checks every limit; the violation names the field.
    pub fn validate(&self) -> Result<(), Violation> {
        limits::count("item_ids", self.ids.len(), 0, MAX_ITEMS)?;
        for (at, id) in self.ids.iter().enumerate() {
            limits::id(&format!("item_ids[{at}]"), id)?;
        }
        let days = f64::from(self.arrived_within_days);
        limits::number("arrived_within_days", days, 0.0, f64::from(limits::MAX_DAYS))?;
        if self.ids.is_empty() && self.condition.is_none() && self.arrived_within_days == 0 {
            let message = "must name items, a condition or days since their arrival";
            return Err(Violation::new("item_ids", message));
        }
        Ok(())
    }

    /// The items of a store at a time.
    pub fn items(&self, live: &Live, now_ms: i64) -> RoaringBitmap {
        let names = live.items.read();
        let mut items: RoaringBitmap = self.ids.iter().filter_map(|id| names.get(id)).collect();
        let len = names.len();
        drop(names);

        let catalogue = live.catalogue.read();
        if let Some(condition) = &self.condition {
            items |= &*catalogue.matching(condition, len);
        }
        if self.arrived_within_days > 0 {
            let days_ms = i64::from(self.arrived_within_days) * DAY_MS;
            items |= catalogue.valid_since(now_ms.saturating_sub(days_ms), now_ms);
        }
        items
    }
}

/// A set of items, so that applying it to a mask costs little whatever its size.
#[derive(Debug, Clone)]
pub enum ItemSet {
    /// Few of the catalogue.
    Few(RoaringBitmap),
    /// Many of the catalogue.
    Many(ItemMask),
}

impl Default for ItemSet {
    fn default() -> Self {
        Self::Few(RoaringBitmap::new())
    }
}

impl ItemSet {
    /// The set of `items`, of a catalogue of `len`.
    pub fn new(items: RoaringBitmap, len: usize) -> Self {
        // A mask costs a word for each 64 items of the catalogue.
        if (items.len() as usize) < len / 64 {
            return Self::Few(items);
        }
        let mut mask = ItemMask::default();
        mask.allow_none(len);
        items.iter().for_each(|item| mask.allow(item));
        Self::Many(mask)
    }

    /// Whether it holds an item.
    pub fn contains(&self, item: ItemIdx) -> bool {
        match self {
            Self::Few(items) => items.contains(item),
            Self::Many(mask) => mask.allows(item),
        }
    }

    /// Takes its items out of a mask.
    pub fn forbid_in(&self, mask: &mut ItemMask) {
        match self {
            Self::Few(items) => items.iter().for_each(|item| mask.forbid(item)),
            Self::Many(items) => mask.forbid_all(items),
        }
    }

    /// Adds those of its items to a mask that `allowed` holds.
    pub fn allow_in(&self, mask: &mut ItemMask, allowed: &ItemMask) {
        match self {
            Self::Few(items) => {
                let both = items.iter().filter(|&item| allowed.allows(item));
                both.for_each(|item| mask.allow(item));
            }
            Self::Many(items) => mask.allow_all(items, allowed),
        }
    }

    /// Its items, newest first.
    pub fn newest_first(&self) -> Box<dyn Iterator<Item = ItemIdx> + '_> {
        match self {
            Self::Few(items) => Box::new(items.iter().rev()),
            Self::Many(mask) => Box::new(mask.iter_back()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_do_the_same() {
        let items: RoaringBitmap = [1, 70, 150].into_iter().collect();
        let sets = [ItemSet::new(items.clone(), 151), ItemSet::new(items, 100_000)];
        assert!(matches!(sets, [ItemSet::Many(_), ItemSet::Few(_)]));
        for set in sets {
            assert!(set.contains(70) && !set.contains(71));
            assert_eq!(set.newest_first().collect::<Vec<_>>(), [150, 70, 1]);
            let mut mask = ItemMask::default();
            mask.allow_first(100);
            let mut kept = ItemMask::default();
            kept.allow_none(100);
            set.allow_in(&mut kept, &mask);
            assert_eq!(kept.iter().collect::<Vec<_>>(), [1, 70]);
            set.forbid_in(&mut mask);
            assert_eq!(mask.count(), 98);
        }
    }
}
