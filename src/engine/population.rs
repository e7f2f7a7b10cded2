//! What compares users with each other: quintiles, models of purchases, gaps. Fitting takes seconds on a large
//! store, so that it is done from time to time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use roaring::RoaringBitmap;

use crate::domain::order::OrderBook;
use crate::domain::{Error, Result, UserIdx, now_ms};
use crate::insight::rfm::{Figures, Quintiles};
use crate::insight::{GapCounter, GapModel, ValueModels};
use crate::live::Live;

/// The users of a store at one moment.
#[derive(Debug)]
pub(in crate::engine) struct Population {
    pub(in crate::engine) quintiles: Quintiles,
    pub(in crate::engine) value: ValueModels,
    pub(in crate::engine) gaps: GapModel,
}

impl Population {
    fn of(live: &Live, as_of_ms: i64) -> Self {
        let objecting = objecting(live);
        // Copied, so that no write waits for the fit.
        let mut books: Vec<(UserIdx, OrderBook)> = Vec::new();
        live.orders.each(|user, book| {
            if !objecting.contains(user) {
                books.push((user, book.clone()));
            }
        });

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
pub(in crate::engine) fn objecting(live: &Live) -> RoaringBitmap {
    live.profiles.read().objecting().iter().copied().collect()
}

/// The newest population, once one was asked for.
#[derive(Debug)]
pub(in crate::engine) struct Populations {
    max_age_ms: i64,
    newest: Mutex<Option<Newest>>,
    /// Whether a list asked for one before there was one.
    wanted: AtomicBool,
    /// Held while one is made, so that it is made once.
    making: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Newest {
    population: Arc<Population>,
    made_ms: i64,
    /// Just past the newest record that it knows.
    offset: u64,
    /// Number of buyers, and of users who objected, by then.
    buyers: usize,
    objecting: usize,
}

impl Newest {
    /// Whether the store has become another: a fifth more or fewer buyers, or another user who objects.
    fn is_overtaken(&self, live: &Live) -> bool {
        let buyers = live.orders.read().buyers();
        buyers.abs_diff(self.buyers) * 5 > self.buyers
            || live.profiles.read().objecting().len() != self.objecting
    }
}

impl Populations {
    pub(in crate::engine) fn new(refresh_minutes: u64) -> Self {
        let max_age_ms = refresh_minutes as i64 * 60_000;
        let (newest, making) = (Mutex::default(), Mutex::default());
        Self { max_age_ms, newest, making, wanted: AtomicBool::new(false) }
    }

    /// The newest population, if there is one. Where there is none, it is made in the background.
    pub(in crate::engine) fn at_hand(&self) -> Option<Arc<Population>> {
        let newest = self.newest.lock().as_ref().map(|newest| newest.population.clone());
        if newest.is_none() {
            self.wanted.store(true, Ordering::Relaxed);
        }
        newest
    }

    /// The newest population. The first, and the first with buyers, is made here.
    ///
    /// # Errors
    /// [`Error::Overloaded`] while another caller makes it: callers do not wait for each other.
    pub(in crate::engine) fn get(&self, live: &Live) -> Result<Arc<Population>> {
        let newest = self.newest.lock().clone();
        let serves = |newest: &Newest| newest.buyers > 0 || live.orders.read().buyers() == 0;
        if let Some(newest) = newest.filter(serves) {
            return Ok(newest.population);
        }
        let message = "what compares users is being made; try again in some seconds";
        let making = self.making.try_lock().ok_or_else(|| Error::Overloaded(message.into()))?;
        Ok(self.make(live, making))
    }

    /// Makes a new population where one was asked for, and it is old or the store has become another.
    pub(in crate::engine) fn refresh(&self, live: &Live) {
        let newest = self.newest.lock().clone();
        let is_due = newest.map_or(self.wanted.load(Ordering::Relaxed), |newest| {
            let is_old = now_ms() - newest.made_ms > self.max_age_ms;
            newest.offset < live.offset() && (is_old || newest.is_overtaken(live))
        });
        if is_due && let Some(making) = self.making.try_lock() {
            self.make(live, making);
        }
    }

    fn make(&self, live: &Live, _making: MutexGuard<'_, ()>) -> Arc<Population> {
        let (made_ms, offset) = (now_ms(), live.offset());
        let buyers = live.orders.read().buyers();
        let objecting = live.profiles.read().objecting().len();
        let population = Arc::new(Population::of(live, live.newest_ms().max(0)));
        let newest = population.clone();
        *self.newest.lock() =
            Some(Newest { population: newest, made_ms, offset, buyers, objecting });
        population
    }
}
