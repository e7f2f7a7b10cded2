//! What every event changes: a fold over the log, held in memory.
//!
//! - [`vocabulary`]: external ids and their dense idx
//! - [`histories`]: each shopper's newest events
//! - [`catalogue`]: items, and the mask of those that may be offered
//! - [`filter`], [`facets`]: conditions on items, and the bitmaps that answer them
//! - [`profiles`]: what is known of shoppers; [`erasures`]: who was erased
//! - [`trends`], [`overlay`]: what is taken now, and with what, before a model knows
//! - [`dedup_window`]: what was recorded before, so that a retry adds nothing
//!
//! One thread writes (the engine's committer, or the replay at start); any
//! number read. Locks are held for short; where two are, in the order of the fields.

pub mod catalogue;
pub mod dedup_window;
pub mod erasures;
pub mod facets;
pub mod filter;
pub mod histories;
pub mod overlay;
pub mod profiles;
pub mod trends;
pub mod vocabulary;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;

pub use catalogue::{Catalogue, ItemMask};
pub use dedup_window::DedupWindow;
pub use erasures::Erasures;
pub use filter::{Condition, Filter};
pub use histories::Histories;
pub use overlay::Overlay;
pub use profiles::Profiles;
pub use trends::{Trend, Trends};
pub use vocabulary::Vocabulary;

use crate::domain::history::{basket_number, first_distinct};
use crate::domain::topk::Scored;
use crate::domain::{EventKind, HistoryEvent, ItemIdx, Offset, Price, UserIdx, now_ms};
use crate::matrix::weight::kind_weight;
use crate::store::{Entry, Record, StoredEvent};

/// What an event must at least say for its item to be taken: more than that it was seen.
const TAKEN: f32 = 0.4;

/// The live state of one store.
#[derive(Debug)]
pub struct Live {
    /// Users' ids.
    pub users: RwLock<Vocabulary>,
    /// Items' ids.
    pub items: RwLock<Vocabulary>,
    /// What each shopper did.
    pub histories: Histories,
    /// What the store knows of its items.
    pub catalogue: RwLock<Catalogue>,
    /// What the store knows of its shoppers.
    pub profiles: RwLock<Profiles>,
    /// Who was erased, and of whom the log's files still tell.
    pub erasures: RwLock<Erasures>,
    /// What is taken now.
    pub trends: RwLock<Trends>,
    /// What is taken with what since the model was trained.
    pub overlay: RwLock<Overlay>,
    /// The attributes of shoppers that make cohorts.
    cohorts: Vec<String>,
    /// Digests of the chunks of imports that are on disk whole.
    pub imported: RwLock<HashSet<u128>>,
    buyers: RwLock<Vec<u32>>,
    offset: AtomicU64,
    events: AtomicU64,
    newest_ms: AtomicI64,
    ahead_ms: AtomicI64,
}

impl Live {
    /// An empty store that keeps `history_limit` events of each shopper; `cohorts`: the
    /// attributes by which shoppers are alike, the one to give up last first.
    pub fn new(history_limit: usize, cohorts: Vec<String>) -> Self {
        Self {
            users: RwLock::default(),
            items: RwLock::default(),
            histories: Histories::new(history_limit),
            catalogue: RwLock::default(),
            profiles: RwLock::default(),
            erasures: RwLock::default(),
            trends: RwLock::default(),
            overlay: RwLock::default(),
            cohorts,
            imported: RwLock::default(),
            buyers: RwLock::default(),
            offset: AtomicU64::new(0),
            events: AtomicU64::new(0),
            newest_ms: AtomicI64::new(0),
            ahead_ms: AtomicI64::new(0),
        }
    }

    /// Takes in an entry of the log, names included; for the replay at start.
    pub fn replay(&self, entry: &Entry<'_>) {
        match entry {
            Entry::User("") => self.users.write().bury(),
            Entry::User(name) => {
                self.users.write().intern(name);
            }
            Entry::Item("") => {
                let mut items = self.items.write();
                self.catalogue.write().bury(items.len() as ItemIdx);
                items.bury();
            }
            Entry::Item(name) => {
                self.items.write().intern(name);
            }
            Entry::Record(offset, record) => self.apply(*offset, record),
        }
    }

    /// Takes in a record whose names are known; for every write that is durable.
    pub fn apply(&self, offset: Offset, record: &Record<'_>) {
        match record {
            Record::Event(event) => self.apply_event(event),
            Record::ItemBefore(idx, item) => {
                self.catalogue.write().upsert(*idx, &item.clone().into());
            }
            Record::Item(idx, item) => self.catalogue.write().upsert(*idx, item),
            Record::ItemAvailable(idx, available) => {
                self.catalogue.write().set_available(*idx, *available);
            }
            Record::ItemDeleted(idx) => self.catalogue.write().delete(*idx),
            Record::User(idx, user) => self.profiles.write().upsert(*idx, user),
            Record::Erased(idx, _) => self.erase(*idx, offset),
            Record::Imported(digest) => drop(self.imported.write().insert(*digest)),
            Record::Gone => {}
        }
        self.offset.store(offset + 1, Ordering::Release);
    }

    fn apply_event(&self, event: &StoredEvent<'_>) {
        let time_ms = self.no_later_than_now(event.time_ms);
        let first =
            self.histories.record(event.user, HistoryEvent { time_ms, ..history_event(event) });
        self.events.fetch_add(1, Ordering::Relaxed);
        self.newest_ms.fetch_max(time_ms, Ordering::Relaxed);
        let cohorts = match self.profiles.read().get(event.user) {
            Some(user) if !user.consent => return,
            Some(user) => self.cohorts(&user.attributes),
            None => Vec::new(),
        };

        if first {
            let mut buyers = self.buyers.write();
            let item = event.item as usize;
            if item >= buyers.len() {
                buyers.resize(item + 1, 0);
            }
            buyers[item] += 1;
        }

        // However often a shopper looks at it.
        let weight = kind_weight(event.kind);
        if weight > 0.0 && (first || event.kind == EventKind::Purchase) {
            self.trends.write().note(event.user, event.item, weight, time_ms, &cohorts);
        }
    }

    /// The time of an event as it counts: what a clock that was ahead wrote down counts as of
    /// now, and is remembered.
    fn no_later_than_now(&self, time_ms: i64) -> i64 {
        // Most events are no later than one that was looked at.
        if time_ms <= self.newest_ms.load(Ordering::Relaxed) {
            return time_ms;
        }
        let now_ms = now_ms();
        if time_ms > now_ms {
            self.ahead_ms.fetch_max(time_ms - now_ms, Ordering::Relaxed);
        }
        time_ms.min(now_ms)
    }

    /// How far ahead of the clock the latest event is that was taken in, in milliseconds; 0 where
    /// none is.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// The cohorts of shoppers with these attributes, the narrowest first.
    pub fn cohorts(&self, attributes: &BTreeMap<String, String>) -> Vec<String> {
        trends::cohorts(attributes, &self.cohorts)
    }

    /// Takes into the overlay what an event that was applied says of pairs.
    pub fn note_pairs(&self, offset: Offset, event: &StoredEvent<'_>) {
        if kind_weight(event.kind) < TAKEN || !self.profiles.read().consents(event.user) {
            return;
        }

        let taken = |e: &&HistoryEvent| kind_weight(e.kind) >= TAKEN;
        let others = self.histories.of(event.user, |history| {
            let before = history.iter().filter(|e| e.item == event.item).filter(taken).count();
            // Who took it before has made its pairs.
            let others = history.iter().rev().filter(taken).filter(|_| before == 1);
            let others = others.map(|e| e.item).filter(|&item| item != event.item);
            first_distinct(others, overlay::PARTNERS)
        });

        if !others.is_empty() {
            self.overlay.write().note(offset, event.user, event.item, &others);
        }
    }

    /// Items taken with any of `items` since the model was trained, by at least `least`
    /// shoppers, best first, with scores from 0 to 1.
    pub fn beside(&self, items: &[ItemIdx], min: u32) -> Vec<Scored> {
        self.overlay.read().beside(items, min, &self.buyers.read())
    }

    /// Forgets a shopper: their name, what is known of them, what they did.
    fn erase(&self, user: UserIdx, offset: Offset) {
        let was_known = self.users.write().erase(user);
        let items = self.histories.erase(user);
        // After the history, which it may say is not to be used.
        self.profiles.write().erase(user);
        self.overlay.write().forget_user(user);

        let mut buyers = self.buyers.write();
        for item in items {
            if let Some(buyers) = buyers.get_mut(item as usize) {
                *buyers = buyers.saturating_sub(1);
            }
        }
        self.erasures.write().note(user, offset, was_known);
    }

    /// Offset just past the newest record applied.
    pub fn offset(&self) -> Offset {
        self.offset.load(Ordering::Acquire)
    }

    /// Number of events taken in.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Time of the newest event, no later than now; 0 where there is none.
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms.load(Ordering::Relaxed)
    }

    /// Number of distinct users with an event, per item.
    pub fn buyers(&self) -> Vec<u32> {
        self.buyers.read().clone()
    }

    /// A user's idx, if the store has heard of them.
    pub fn user(&self, id: &str) -> Option<UserIdx> {
        self.users.read().get(id)
    }

    /// An item's idx, if the store has heard of it.
    pub fn item(&self, id: &str) -> Option<ItemIdx> {
        self.items.read().get(id)
    }
}

/// What a history keeps of a stored event.
pub fn history_event(event: &StoredEvent<'_>) -> HistoryEvent {
    HistoryEvent {
        quantity: event.quantity as f32,
        basket: basket_number(event.basket_id),
        price: Price::new(event.price),
        ..HistoryEvent::new(event.kind, event.item, event.time_ms)
    }
}
