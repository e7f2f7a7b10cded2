//! What comes of items: how often each was shown, clicked, bought and given back.

use serde::{Deserialize, Serialize};

use crate::domain::{EventKind, ItemIdx};

/// Lists with an item that count as much as its own before its click rate is trusted.
const PRIOR_SHOWN: f64 = 100.0;
/// Purchases that count as much as an item's own before its rate of returns is trusted.
const PRIOR_BOUGHT: f64 = 20.0;

/// The counts of an item, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Lists that showed it.
    pub shown: u32,
    /// Clicks on it.
    pub clicked: u32,
    /// Purchases of it.
    pub bought: u32,
    /// Refunds of it.
    pub returned: u32,
}

/// The counts of all items.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outcomes {
    items: Vec<Counts>,
    all: [u64; 4],
}

impl Outcomes {
    /// Notes an event.
    pub fn note(&mut self, item: ItemIdx, kind: EventKind) {
        let counts = self.of_mut(item);
        let (count, all) = match kind {
            EventKind::Click => (&mut counts.clicked, 1),
            EventKind::Purchase => (&mut counts.bought, 2),
            EventKind::Refund => (&mut counts.returned, 3),
            _ => return,
        };
        *count = count.saturating_add(1);
        self.all[all] += 1;
    }

    /// Notes a list that was shown.
    pub fn note_shown(&mut self, items: &[ItemIdx]) {
        for &item in items {
            let counts = self.of_mut(item);
            counts.shown = counts.shown.saturating_add(1);
        }
        self.all[0] += items.len() as u64;
    }

    fn of_mut(&mut self, item: ItemIdx) -> &mut Counts {
        let at = item as usize;
        if at >= self.items.len() {
            self.items.resize(at + 1, Counts::default());
        }
        &mut self.items[at]
    }

    fn of(&self, item: ItemIdx) -> Counts {
        self.items.get(item as usize).copied().unwrap_or_default()
    }

    /// An item's clicks by showing, relative to all items: 1 is average. Few showings count little.
    pub fn click_rate(&self, item: ItemIdx) -> f64 {
        let Counts { shown, clicked, .. } = self.of(item);
        relative(clicked, shown, PRIOR_SHOWN, self.all[1], self.all[0])
    }

    /// An item's refunds by purchase, relative to all items: 1 is average. Few purchases count little.
    pub fn return_rate(&self, item: ItemIdx) -> f64 {
        let Counts { bought, returned, .. } = self.of(item);
        relative(returned, bought, PRIOR_BOUGHT, self.all[3], self.all[2])
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<Counts>()
    }
}

/// A rate relative to that of all, shrunk towards it; 1 where nothing is known.
fn relative(count: u32, of: u32, prior: f64, all: u64, of_all: u64) -> f64 {
    if all == 0 || of_all == 0 {
        return 1.0;
    }
    let average = all as f64 / of_all as f64;
    (f64::from(count) + prior * average) / (f64::from(of) + prior) / average
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_relative_and_few_counts_say_little() {
        let mut outcomes = Outcomes::default();
        assert_eq!((outcomes.click_rate(3), outcomes.return_rate(3)), (1.0, 1.0));
        (0..1_000).for_each(|_| outcomes.note_shown(&[0, 1]));
        (0..90).for_each(|_| outcomes.note(0, EventKind::Click));
        (0..10).for_each(|_| outcomes.note(1, EventKind::Click));
        outcomes.note_shown(&[2]);
        outcomes.note(2, EventKind::Click);
        let rate = |item| outcomes.click_rate(item);
        assert!(rate(0) > 1.6 && rate(1) < 0.4, "{} {}", rate(0), rate(1));
        assert!((1.0..1.3).contains(&rate(2)) && rate(9) == 1.0, "{}", rate(2));
        (0..50).for_each(|_| outcomes.note(0, EventKind::Purchase));
        (0..10).for_each(|_| outcomes.note(0, EventKind::Refund));
        assert!((outcomes.return_rate(0) - 1.0).abs() < 1e-9, "the only item is average");
    }
}
