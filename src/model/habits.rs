//! Repurchase statistics of items: share of returning buyers, days between purchases, first and last
//! event, price.

use crate::domain::ItemIdx;

/// Minimum share of an item's buyers who return for it; below, the item is durable.
const AGAIN: f32 = 0.1;
/// Share of the usual time after which an item is due: long absences raise the mean.
const DUE: f32 = 0.75;

/// Purchases by item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Habits {
    /// Share of an item's buyers who returned for it, 0 to 1, shrunk towards the store's mean.
    pub again: Vec<f32>,
    /// Mean days between two purchases by one user, shrunk towards the store's mean; 0 where the
    /// store has no repeat purchase.
    pub gap_days: Vec<f32>,
    /// Days from an item's first event to the newest of the log.
    pub age_days: Vec<f32>,
    /// Days from an item's newest event to the newest of the log.
    pub idle_days: Vec<f32>,
    /// Typical price of one, in the store's currency; 0 where unknown.
    pub price: Vec<f32>,
}

impl Habits {
    /// Whether an item bought `days` ago may be due again: its buyers return for it, and three
    /// quarters of the usual time have passed.
    pub fn is_due(&self, item: ItemIdx, days: f32) -> bool {
        let of = |values: &[f32]| values.get(item as usize).copied().unwrap_or(0.0);
        of(&self.again) >= AGAIN && days >= DUE * of(&self.gap_days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_never_due() {
        let habits =
            Habits { again: vec![0.5, 0.02], gap_days: vec![28.0, 28.0], ..Habits::default() };
        assert!(habits.is_due(0, 21.0) && !habits.is_due(0, 20.0));
        assert!(!habits.is_due(1, 400.0) && !habits.is_due(2, 400.0));
    }
}
