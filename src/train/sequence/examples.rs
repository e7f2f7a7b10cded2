//! What users did, step by step, and what came next.

use rayon::prelude::*;

use super::learned::{ITEMS_BACK, STEPS_BACK};
use crate::domain::ItemIdx;
use crate::matrix::UserEvents;
use crate::train::transition::{Basket, steps};

/// The histories of users, and every item that came after others.
pub(super) struct Examples {
    /// All items, user by user, step by step.
    items: Vec<ItemIdx>,
    /// The step of each, counted over all users.
    steps: Vec<u32>,
    all: Vec<Example>,
}

/// An item, and those before it.
#[derive(Clone, Copy)]
struct Example {
    next: ItemIdx,
    /// Its step.
    step: u32,
    /// The items before it: the end of the history that is looked at, in [`Examples::items`].
    before: (u32, u32),
}

impl Examples {
    /// About `most` examples, of users at equal distances.
    pub(super) fn of(events: &UserEvents, most: usize) -> Self {
        let stride = events.all().len().div_ceil(most).max(1);
        let users: Vec<usize> = (0..events.users()).step_by(stride).collect();
        let histories: Vec<Vec<Basket>> =
            users.into_par_iter().map(|user| steps(events, user)).collect();

        let mut examples = Self { items: Vec::new(), steps: Vec::new(), all: Vec::new() };
        let mut step = 0;
        for history in histories {
            let first = examples.items.len();
            for basket in history {
                examples.add(first, step, &basket);
                step += 1;
            }
        }
        examples
    }

    /// Adds a step of a user whose items begin at `first`.
    fn add(&mut self, first: usize, step: u32, basket: &Basket) {
        let end = self.items.len();
        if end > first {
            let before = (first.max(end.saturating_sub(ITEMS_BACK)) as u32, end as u32);
            self.all.extend(basket.iter().map(|&next| Example { next, step, before }));
        }
        self.items.extend(basket);
        self.steps.extend(basket.iter().map(|_| step));
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All items, as often as they occur.
    pub(super) fn items(&self) -> &[ItemIdx] {
        &self.items
    }

    /// How often each item occurs.
    pub(super) fn occurrences(&self, items: usize) -> Vec<u32> {
        let mut counts = vec![0; items];
        self.items.iter().for_each(|&item| counts[item as usize] += 1);
        counts
    }

    /// The item of an example.
    pub(super) fn next(&self, example: u32) -> ItemIdx {
        self.all[example as usize].next
    }

    /// The items before it, and how many steps before the last one they are.
    pub(super) fn before(&self, example: u32) -> impl Iterator<Item = (ItemIdx, usize)> {
        let Example { step, before: (from, to), .. } = self.all[example as usize];
        let places = from as usize..to as usize;
        let back = move |at: usize| (step - 1 - self.steps[at]) as usize;
        let items = places.map(move |at| (self.items[at], back(at)));
        items.filter(|&(_, back)| back < STEPS_BACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventKind, HistoryEvent};

    #[test]
    fn an_item_comes_after_the_steps_before_it() {
        let view = |user, item, n| (user, HistoryEvent::new(EventKind::View, item, n));
        let log = vec![view(0, 4, 1), view(0, 2, 2), view(0, 3, 2), view(0, 5, 3), view(1, 9, 1)];
        let examples = Examples::of(&UserEvents::new(2, 10, log), 100);
        let all: Vec<_> = (0..examples.len() as u32)
            .map(|of| (examples.next(of), examples.before(of).collect::<Vec<_>>()))
            .collect();
        let of_step = vec![(4, 0)];
        let expected = [(2, of_step.clone()), (3, of_step), (5, vec![(4, 1), (2, 0), (3, 0)])];
        assert_eq!(all, expected);
        assert_eq!(examples.occurrences(10), [0, 0, 1, 1, 1, 1, 0, 0, 0, 1]);
    }
}
