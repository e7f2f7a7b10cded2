//! What a list is for, beside what users take: clicks, margin, few returns.
//!
//! The model's score of an item stands for how likely it is taken. An objective multiplies it by what
//! that is worth, relative to an average item:
//!
//! (buy + click · c + margin · m − returns · r) / (buy + click + margin)
//!
//! where c is the item's click rate, m its margin and r its rate of returns, each divided by the average
//! of all items. An item of unknown margin counts as average.

use serde::{Deserialize, Serialize};

use crate::domain::{ItemIdx, Violation, limits};
use crate::live::{Catalogue, Outcomes};

/// Largest weight.
const MAX_WEIGHT: f64 = 100.0;
/// What an item is worth at least: an objective buries, and never excludes.
const LEAST: f64 = 0.01;

/// The weights of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Objective {
    /// Weight of a purchase.
    pub buy: f64,
    /// Weight of clicks.
    pub click: f64,
    /// Weight of margin.
    pub margin: f64,
    /// Weight against returns.
    pub returns: f64,
}

/// An objective with what it reads of items.
#[derive(Debug, Clone, Copy)]
pub struct Worth<'a> {
    /// The weights.
    pub objective: Objective,
    /// The outcomes of items so far.
    pub outcomes: &'a Outcomes,
}

impl Objective {
    /// Checks its weights.
    ///
    /// # Errors
    /// The first weight that breaks its limit.
    pub fn check(&self) -> Result<(), Violation> {
        let weights = [
            ("buy", self.buy),
            ("click", self.click),
            ("margin", self.margin),
            ("returns", self.returns),
        ];
        for (name, weight) in weights {
            limits::number(name, weight, 0.0, MAX_WEIGHT)?;
        }
        if self.buy + self.click + self.margin <= 0.0 {
            return Err(Violation::new("buy", "must be above 0 where click and margin are 0"));
        }
        Ok(())
    }

    /// The same with all weights but that of a purchase multiplied.
    pub fn scaled(self, by: f64) -> Self {
        let Self { buy, click, margin, returns } = self;
        Self { buy, click: click * by, margin: margin * by, returns: returns * by }
    }
}

impl Worth<'_> {
    /// What an item is worth, relative to an average one.
    pub fn of(&self, item: ItemIdx, catalogue: &Catalogue) -> f32 {
        let Objective { buy, click, margin, returns } = self.objective;
        let own = catalogue.get(item).and_then(|item| item.margin);
        let of_average = own.zip(catalogue.average_margin()).map(|(own, average)| own / average);
        let gain =
            buy + click * self.outcomes.click_rate(item) + margin * of_average.unwrap_or(1.0)
                - returns * self.outcomes.return_rate(item);
        (gain / (buy + click + margin)).max(LEAST) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventKind, Item};

    #[test]
    fn what_earns_more_comes_first_and_what_comes_back_comes_last() {
        let mut catalogue = Catalogue::default();
        for (idx, margin) in [(0, Some(1.0)), (1, Some(3.0)), (2, None)] {
            catalogue.upsert(idx, &Item { margin, ..Item::default() }, None);
        }
        assert_eq!(catalogue.average_margin(), Some(2.0));
        let mut outcomes = Outcomes::default();
        (0..100).for_each(|_| outcomes.note(2, EventKind::Purchase));
        (0..900).for_each(|_| outcomes.note(0, EventKind::Purchase));
        (0..50).for_each(|_| outcomes.note(2, EventKind::Refund));
        let order = |objective: Objective| {
            objective.check().unwrap();
            let worth = Worth { objective, outcomes: &outcomes };
            let mut items = [0, 1, 2];
            items.sort_by(|a, b| worth.of(*b, &catalogue).total_cmp(&worth.of(*a, &catalogue)));
            items
        };
        let buy = Objective { buy: 1.0, ..Objective::default() };
        assert_eq!(order(buy), [0, 1, 2]);
        assert_eq!(order(Objective { margin: 1.0, ..buy }), [1, 2, 0]);
        assert_eq!(order(Objective { returns: 0.1, ..buy }), [0, 1, 2]);
        assert_eq!(order(Objective { margin: 1.0, ..buy }.scaled(0.0)), [0, 1, 2]);

        let refused = |objective: Objective| objective.check().unwrap_err().to_string();
        assert!(refused(Objective::default()).starts_with("buy: must be above 0"));
        assert!(refused(Objective { margin: -1.0, ..buy }).starts_with("margin: must be 0 to 100"));
    }
}
