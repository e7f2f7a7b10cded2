//! Whether reasons are faithful: taking the events that are named out of a user's history must lower
//! an item's score more than taking out as many others.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rayon::prelude::*;

use super::harness::{Case, Harness};
use crate::domain::{HistoryEvent, ItemIdx};
use crate::recommend::{self, Scratch};

/// Items that are explained of each list.
const EXPLAINED: usize = 10;
/// Length of the lists in which an item is looked for after its events are taken out.
const LOOKED_THROUGH: usize = 500;

/// How many reasons are faithful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faithfulness {
    /// Explained items that name events, where the user has as many other items.
    pub explained: usize,
    /// Those that lose more by their own events than by others.
    pub faithful: usize,
}

impl Faithfulness {
    /// The share of the explained items.
    pub fn share(&self) -> f64 {
        self.faithful as f64 / self.explained.max(1) as f64
    }
}

impl Harness<'_> {
    /// Asks for the reasons of the first ten items of every case, and tests each.
    pub fn faithfulness(&self, cases: &[Case]) -> Faithfulness {
        let of_case = |scratch: &mut Scratch, (at, case): (usize, &Case)| {
            let mut rng = StdRng::seed_from_u64(self.seed ^ at as u64);
            let mut found = Faithfulness::default();
            for (item, named) in self.reasons(case, scratch) {
                let mut others: Vec<ItemIdx> = case.history.iter().map(|e| e.item).collect();
                others.sort_unstable();
                others.dedup();
                others.retain(|other| !named.contains(other));
                if named.is_empty() || others.len() < named.len() {
                    continue;
                }

                let drawn: Vec<ItemIdx> = others.sample(&mut rng, named.len()).copied().collect();
                let without_named = self.score_without(case, item, &named, scratch);
                let without_others = self.score_without(case, item, &drawn, scratch);
                found.explained += 1;
                found.faithful += usize::from(without_named < without_others);
            }
            found
        };
        let all = cases
            .par_iter()
            .enumerate()
            .map_init(Scratch::default, |scratch, case| of_case(scratch, (case.0, case.1)));
        all.reduce(Faithfulness::default, |a, b| Faithfulness {
            explained: a.explained + b.explained,
            faithful: a.faithful + b.faithful,
        })
    }

    /// The first items of a list, each with the items of the events that are named for it.
    fn reasons(&self, case: &Case, scratch: &mut Scratch) -> Vec<(ItemIdx, Vec<ItemIdx>)> {
        self.ask(case, None, EXPLAINED, |query| {
            let query = recommend::Query { explain: true, ..*query };
            let list = recommend::recommend(self.snapshot, &query, scratch);
            let named = list.items.iter().zip(&list.reasons).map(|(item, reasons)| {
                (item.item, reasons.led_by.iter().map(|(event, _)| event.item).collect())
            });
            named.collect()
        })
    }

    /// The blend's score of an item without the user's events on some items; 0 where it is no longer
    /// proposed.
    fn score_without(
        &self,
        case: &Case,
        item: ItemIdx,
        gone: &[ItemIdx],
        scratch: &mut Scratch,
    ) -> f32 {
        let kept = case.history.iter().filter(|e| !gone.contains(&e.item)).copied();
        let history: Vec<HistoryEvent> = kept.collect();
        let case = Case { history, ..case.clone() };
        self.ask(&case, None, LOOKED_THROUGH, |query| {
            let query = recommend::Query { explain: true, ..*query };
            let list = recommend::recommend(self.snapshot, &query, scratch);
            let at = list.items.iter().position(|listed| listed.item == item);
            at.map_or(0.0, |at| list.reasons[at].blend_score())
        })
    }
}
