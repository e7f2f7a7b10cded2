//! What compares users with each other: quintiles, models of purchases, gaps. Fitting takes seconds on a large
//! store, so that it is done from time to time.

use std::sync::Arc;

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::domain::order::OrderBook;
use crate::domain::{UserIdx, now_ms};
use crate::insight::rfm::{Figures, Quintiles};
use crate::insight::{GapCounter, GapModel, ValueModels};
use crate::live::Live;

/// The users of a store at one moment.
#[derive(Debug)]
pub(super) struct Population {
    pub(super) quintiles: Quintiles,
    pub(super) value: ValueModels,
    pub(super) gaps: GapModel,
}

impl Population {
    fn of(live: &Live, as_of_ms: i64) -> Self {
        let objecting = objecting(live);
        let counts = |user: UserIdx| !objecting.contains(user);
        // Copied, so that no write waits for the fit.
        let books: Vec<(UserIdx, OrderBook)> = {
            let orders = live.orders.read();
            let all = orders.all().filter(|(user, _)| counts(*user));
            all.map(|(user, book)| (user, book.clone())).collect()
        };

        let figures: Vec<Figures> =
            books.iter().filter_map(|(_, book)| Figures::of(book, as_of_ms)).collect();
        let mut gaps = GapCounter::default();
        for (user, book) in &books {
            live.histories.of(*user, |history| gaps.add(book, history));
        }
        let category = |item| {
            let catalogue = live.catalogue.read();
            catalogue.get(item).and_then(|item| item.categories.first()).cloned()
        };

        let since_ms = books.iter().filter_map(|(_, book)| book.first_ms()).min();
        let books: Vec<&OrderBook> = books.iter().map(|(_, book)| book).collect();
        Self {
            quintiles: Quintiles::of(&figures),
            value: ValueModels::fit(&books, since_ms.unwrap_or(as_of_ms), as_of_ms),
            gaps: gaps.finish(category),
        }
    }
}

/// The users who do not consent to the use of their events.
pub(super) fn objecting(live: &Live) -> RoaringBitmap {
    live.profiles.read().objecting().into_iter().collect()
}

/// The newest population, once one was asked for.
#[derive(Debug)]
pub(super) struct Populations {
    max_age_ms: i64,
    newest: Mutex<Option<Newest>>,
    /// Held while one is made, so that it is made once.
    making: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Newest {
    population: Arc<Population>,
    made_ms: i64,
    /// Just past the newest record that it knows.
    offset: u64,
}

impl Populations {
    pub(super) fn new(refresh_minutes: u64) -> Self {
        let max_age_ms = refresh_minutes as i64 * 60_000;
        Self { max_age_ms, newest: Mutex::default(), making: Mutex::default() }
    }

    /// The newest population. The first is made here.
    pub(super) fn get(&self, live: &Live) -> Arc<Population> {
        let newest = self.newest.lock().clone();
        newest.map_or_else(|| self.make(live, None), |newest| newest.population)
    }

    /// Makes a new population where one was asked for, is old, and something happened since.
    pub(super) fn refresh(&self, live: &Live) {
        let newest = self.newest.lock().clone();
        let is_old = |newest: &Newest| now_ms() - newest.made_ms > self.max_age_ms;
        if let Some(old) = newest.filter(is_old)
            && old.offset < live.offset()
        {
            self.make(live, Some(old.made_ms));
        }
    }

    /// Makes a population, unless another thread replaced the one made at `seen_ms` meanwhile.
    fn make(&self, live: &Live, seen_ms: Option<i64>) -> Arc<Population> {
        let _making = self.making.lock();
        let newest = self.newest.lock().clone();
        if let Some(newest) = newest.filter(|newest| Some(newest.made_ms) != seen_ms) {
            return newest.population;
        }

        let (made_ms, offset) = (now_ms(), live.offset());
        let population = Arc::new(Population::of(live, live.newest_ms().max(0)));
        *self.newest.lock() = Some(Newest { population: population.clone(), made_ms, offset });
        population
    }
}
