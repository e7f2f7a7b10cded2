//! Live state: a fold over the log, held in memory, which every event changes.
//!
//! - [`vocabulary`]: external ids and their dense idx
//! - `events`: an event becomes live state; [`links`]: several ids of one user
//! - [`histories`]: each user's newest events; `packed`: those of users of other shards
//! - [`catalogue`]: items; [`item_mask`]: those that may be offered
//! - [`filter`], [`facets`]: conditions on items, and the bitmaps that answer them
//! - [`hidden`]: what users do not want to see; [`shown`]: what was shown to them again and again
//! - [`decisions`]: what people decided of lists
//! - [`profiles`]: attributes and consent of users; [`erasures`]: erased users
//! - `silence`: what lists read of a user who removed tags
//! - [`outcomes`]: what comes of items; `reviews`: what users think of them
//! - [`orders`]: what users bought, in sums that no bound cuts; [`activity`]: the days of the store;
//!   [`channels`]: names of channels
//! - [`trends`], [`overlay`]: what is taken now, and together with what, before a model knows
//! - [`dedup_window`]: ids of the newest events, so that a retry adds nothing; [`positions`]: where reading topics
//!   goes on
//!
//! - `saved`: live state as bytes, for a checkpoint
//! - [`shared`]: one thread writes, the one that has the [`LiveWriter`] (the replay at start, then
//!   the engine's committer); any number read, each lock for a short time

pub mod activity;
pub mod catalogue;
pub mod channels;
pub mod decisions;
pub mod dedup_window;
pub mod erasures;
mod events;
pub mod facets;
pub mod filter;
pub mod hidden;
pub mod histories;
pub mod item_mask;
pub mod links;
pub mod orders;
pub mod outcomes;
pub mod overlay;
mod packed;
pub mod positions;
pub mod profiles;
mod reviews;
pub(crate) mod saved;
pub mod shared;
pub mod shown;
mod silence;
pub mod trends;
pub mod vocabulary;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;

pub use activity::Activity;
pub use catalogue::Catalogue;
pub use channels::Channels;
pub use decisions::{Decided, Decisions};
pub use dedup_window::DedupWindow;
pub use erasures::Erasures;
pub use filter::{Condition, Filter};
pub use hidden::{Hidden, HiddenItems};
pub use histories::Histories;
pub use item_mask::ItemMask;
pub use links::Links;
pub use orders::Orders;
pub use outcomes::Outcomes;
pub use overlay::Overlay;
pub use positions::Positions;
pub use profiles::Profiles;
pub use reviews::{Reputation, Reviews};
pub use shared::{LiveWriter, Shared};
pub use shown::{Impressions, Shown};
pub use trends::{Trend, Trends};
pub use vocabulary::Vocabulary;

use crate::content::features::is_same;
use crate::content::{Corpus, Reader};
use crate::domain::history::basket_number;
use crate::domain::topk::Scored;
use crate::domain::{HistoryEvent, ItemIdx, Offset, Price, Shard, UserIdx};
use crate::store::{Entry, Record, StoredEvent};

/// Minimum weight of an event's kind for its item to count as taken: more than a view.
const TAKEN: f32 = 0.4;

/// The live state of one store.
#[derive(Debug)]
pub struct Live {
    /// Users' ids.
    pub users: Shared<Vocabulary>,
    /// Which of them are the same user.
    pub links: Shared<Links>,
    /// Items' ids.
    pub items: Shared<Vocabulary>,
    /// The events of each user.
    pub histories: Histories,
    /// The items.
    pub catalogue: Shared<Catalogue>,
    /// Attributes and consent of users.
    pub profiles: Shared<Profiles>,
    /// What users do not want to see.
    pub hidden: Shared<HiddenItems>,
    /// What was shown to users.
    pub impressions: Shared<Impressions>,
    /// What comes of items.
    pub outcomes: Shared<Outcomes>,
    /// What users think of items.
    pub reviews: Shared<Reviews>,
    /// What users bought.
    pub orders: Shared<Orders>,
    /// The days of the store.
    pub activity: Shared<Activity>,
    /// Names of channels.
    pub channels: Shared<Channels>,
    /// What people decided of lists.
    pub decisions: Shared<Decisions>,
    /// Erased users. The trainer notes here what it has rewritten.
    pub erasures: RwLock<Erasures>,
    /// What is taken now.
    pub trends: Shared<Trends>,
    /// What is taken together since the model was trained. The trainer removes what a model knows.
    pub overlay: RwLock<Overlay>,
    /// The users whose lists this server makes.
    shard: Shard,
    /// The user attributes that define cohorts.
    cohorts: Vec<String>,
    reader: Reader,
    /// Digests of the import chunks that are on disk.
    pub imported: Shared<HashSet<u128>>,
    /// Where reading topics goes on.
    pub positions: Shared<Positions>,
    buyers: Shared<Vec<u32>>,
    offset: AtomicU64,
    behaviour_changed_to: AtomicU64,
    events: AtomicU64,
    exposures: AtomicU64,
    newest_ms: AtomicI64,
    ahead_ms: AtomicI64,
}

impl Live {
    /// An empty store that keeps `history_limit` events of each user, and the right to change it;
    /// `cohorts`: the attributes that define cohorts, the one dropped first last; `reader` reads its
    /// items.
    pub fn new(history_limit: usize, cohorts: Vec<String>, reader: Reader) -> (Self, LiveWriter) {
        let live = Self {
            users: Shared::default(),
            links: Shared::default(),
            items: Shared::default(),
            histories: Histories::new(history_limit),
            catalogue: Shared::default(),
            profiles: Shared::default(),
            hidden: Shared::default(),
            impressions: Shared::default(),
            outcomes: Shared::default(),
            reviews: Shared::default(),
            orders: Shared::default(),
            activity: Shared::default(),
            channels: Shared::default(),
            decisions: Shared::default(),
            erasures: RwLock::default(),
            trends: Shared::default(),
            overlay: RwLock::default(),
            shard: Shard::WHOLE,
            cohorts,
            reader,
            imported: Shared::default(),
            positions: Shared::default(),
            buyers: Shared::default(),
            offset: AtomicU64::new(0),
            behaviour_changed_to: AtomicU64::default(),
            events: AtomicU64::new(0),
            exposures: AtomicU64::new(0),
            newest_ms: AtomicI64::new(0),
            ahead_ms: AtomicI64::new(0),
        };

        (live, LiveWriter::new())
    }

    /// The same for a server that makes the lists of the users of a shard.
    pub(crate) fn of_shard(self, shard: Shard) -> Self {
        Self { shard, ..self }
    }

    /// The users whose lists this server makes.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// The number of the shard that a user is of: an alias is where its user is.
    pub fn shard_of(&self, id: &str) -> u32 {
        let user = self.user(id).map(|user| self.users.read().id(user).to_owned());
        // One who is erased meanwhile has no id.
        let user = user.filter(|user| !user.is_empty());
        self.shard.of(user.as_deref().unwrap_or(id))
    }

    /// Applies an entry of the log, names included; for the replay at start.
    pub(crate) fn replay(&self, writer: &mut LiveWriter, entry: &Entry<'_>) {
        match entry {
            Entry::User("") => self.users.write(writer).bury(),
            Entry::User(name) => {
                let (user, _) = self.users.write(writer).intern(name);
                if !self.shard.has(name) {
                    self.histories.pack(user);
                }
            }
            Entry::Item("") => {
                let idx = self.items.read().len() as ItemIdx;
                self.catalogue.write(writer).bury(idx);
                self.items.write(writer).bury();
            }
            Entry::Item(name) => {
                self.items.write(writer).intern(name);
            }
            Entry::Record(offset, Record::Item(idx, item)) => {
                // Most are replaced by a later record: see [`Live::index`].
                self.catalogue.write(writer).upsert(*idx, item, None);
                self.offset.store(offset + 1, Ordering::Release);
            }
            Entry::Record(offset, record) => self.apply(writer, *offset, record),
        }
    }

    /// What is compared of the items, as of now.
    pub fn corpus(&self) -> Corpus {
        let documents = self.catalogue.read().corpus().shared();
        Corpus::of(documents)
    }

    /// Computes what is compared of the items, once the log is replayed.
    pub(crate) fn index(&self, writer: &mut LiveWriter) {
        self.erasures.write().note_replayed();
        self.catalogue.write(writer).index(&self.reader);
    }

    /// Applies a record whose names are known; for every durable write.
    pub(crate) fn apply(&self, writer: &mut LiveWriter, offset: Offset, record: &Record<'_>) {
        match record {
            Record::Event(event) => self.apply_event(writer, event),
            Record::Item(idx, item) => {
                let before = self.catalogue.read();
                let is_same = before.get(*idx).is_some_and(|before| is_same(before, item));
                drop(before);
                // Cut into words before the catalogue is locked.
                let document = (!is_same).then(|| self.reader.document(item));
                self.catalogue.write(writer).upsert(*idx, item, document);
            }
            Record::ItemAvailable(idx, available) => {
                self.catalogue.write(writer).set_available(*idx, *available);
            }
            Record::ItemDeleted(idx) => self.catalogue.write(writer).delete(*idx),
            Record::User(idx, profile) => {
                let all = self.links.read().all(*idx);
                let objecting = self.objecting();
                self.profiles.write(writer).note_profile(&all, *idx, profile);
                self.note_behaviour_changed(offset, self.objecting() != objecting);
                if !profile.consent {
                    self.overlay.write().forget_user(self.resolved(*idx));
                }
            }
            Record::Preferences(idx, preferences) => {
                let all = self.links.read().all(*idx);
                let objecting = self.objecting();
                self.profiles.write(writer).note_decision(&all, *idx, preferences);
                self.note_behaviour_changed(offset, self.objecting() != objecting);
                if !preferences.personalised {
                    self.overlay.write().forget_user(self.resolved(*idx));
                }
            }
            Record::Contacted(idx, time_ms) => {
                let all = self.links.read().all(*idx);
                self.profiles.write(writer).note_contact(&all, *idx, *time_ms);
            }
            Record::Linked(alias, user) => {
                self.link(writer, (*alias, *user), offset);
                self.note_behaviour_changed(offset, true);
            }
            Record::Unlinked(alias) => {
                self.unlink(writer, *alias);
                self.note_behaviour_changed(offset, true);
            }
            Record::Erased(idx, _) => self.erase(writer, *idx, offset),
            Record::Imported(digest) => drop(self.imported.write(writer).insert(*digest)),
            Record::Exposure(exposure) => {
                self.exposures.fetch_add(1, Ordering::Relaxed);
                self.outcomes.write(writer).note_shown(&exposure.items);
            }
            Record::Decision(decision) => self.decisions.write(writer).note(decision),
            Record::TakenIn(position) => self.positions.write(writer).note(position),
            Record::Gone => {}
        }

        self.offset.store(offset + 1, Ordering::Release);
    }

    /// How far ahead of the clock the latest event is, in milliseconds; 0 where none is.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// The cohorts of users with these attributes, narrowest first.
    pub fn cohorts(&self, attributes: &BTreeMap<String, String>) -> Vec<String> {
        trends::cohorts(attributes, &self.cohorts)
    }

    /// Items taken with any of `items` since the model was trained, by at least `min` users, best
    /// first, with scores from 0 to 1.
    pub fn taken_with(&self, items: &[ItemIdx], min: u32) -> Vec<Scored> {
        self.overlay.read().taken_with(items, min, &self.buyers.read())
    }

    /// Erases a user: name, profile, events.
    fn erase(&self, writer: &mut LiveWriter, user: UserIdx, offset: Offset) {
        let was_known = self.users.write(writer).erase(user);
        self.erase_links(writer, user);
        self.forget_deeds(writer, user);
        // After the history, whose use the consent decides.
        self.profiles.write(writer).erase(user);
        self.erasures.write().note(user, offset, was_known);
    }

    /// Number of users whose events must not be used.
    fn objecting(&self) -> usize {
        self.profiles.read().objecting().len()
    }

    fn note_behaviour_changed(&self, offset: Offset, is_changed: bool) {
        if is_changed {
            self.behaviour_changed_to.store(offset + 1, Ordering::Release);
        }
    }

    /// Offset just past the newest record, but for erasures, that changed which events may be used or
    /// whose they are.
    pub fn behaviour_changed_to(&self) -> Offset {
        self.behaviour_changed_to.load(Ordering::Acquire)
    }

    /// Offset just past the newest record applied.
    pub fn offset(&self) -> Offset {
        self.offset.load(Ordering::Acquire)
    }

    /// Number of records applied that a training reads: all but exposures.
    pub fn trainable(&self) -> u64 {
        self.offset().saturating_sub(self.exposures.load(Ordering::Relaxed))
    }

    /// Number of events applied.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Approximate bytes in memory: of histories, names, items and profiles.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// [`Live::memory_bytes`] by part.
    pub fn memory_parts(&self) -> [(&'static str, u64); 6] {
        let catalogue = self.catalogue.read().bytes()
            + self.outcomes.read().bytes()
            + self.reviews.read().bytes();
        let profiles = self.profiles.read().bytes()
            + self.links.read().bytes()
            + self.hidden.read().bytes()
            + self.impressions.read().bytes();
        let names = self.users.read().bytes() + self.items.read().bytes();
        [
            ("histories", self.histories.bytes() as u64),
            ("names", names as u64),
            ("decisions", self.decisions.read().bytes() as u64),
            ("catalogue", catalogue as u64),
            ("profiles", profiles as u64),
            ("orders", (self.orders.read().bytes() + self.activity.read().bytes()) as u64),
        ]
    }

    /// Time of the newest event, at most now; 0 without events.
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms.load(Ordering::Relaxed)
    }

    /// Number of distinct users with an event, by item.
    pub fn buyers(&self) -> Vec<u32> {
        self.buyers.read().clone()
    }

    /// A user's idx, if the store knows the id, which may be an alias.
    pub fn user(&self, id: &str) -> Option<UserIdx> {
        let idx = self.users.read().get(id)?;
        Some(self.resolved(idx))
    }

    /// An item's idx, if the store knows the id.
    pub fn item(&self, id: &str) -> Option<ItemIdx> {
        self.items.read().get(id)
    }
}

/// The part of a stored event that a history keeps.
pub fn history_event(event: &StoredEvent<'_>) -> HistoryEvent {
    HistoryEvent {
        quantity: event.quantity as f32,
        basket: basket_number(event.basket_id),
        price: Price::new(event.price),
        ..HistoryEvent::new(event.kind, event.item, event.time_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_of_users_of_other_shards_are_packed() {
        let shard: Shard = "1/3".parse().unwrap();
        let (live, mut writer) = Live::new(9, Vec::new(), Reader::default());
        let live = live.of_shard(shard);
        let names: Vec<String> = (0..30).map(|n| format!("user-{n}")).collect();
        names.iter().for_each(|name| live.replay(&mut writer, &Entry::User(name)));
        live.replay(&mut writer, &Entry::User(""));

        let is_packed = |user: usize| live.histories.is_packed(user as UserIdx);
        let packed: Vec<bool> = (0..31).map(is_packed).collect();
        let others = names.iter().map(|name| shard.of(name) != 1);
        assert_eq!(packed, others.chain([false]).collect::<Vec<_>>());
        assert!(packed.contains(&true) && packed[..30].contains(&false));
        assert_eq!((live.shard(), live.shard_of("user-7")), (shard, shard.of("user-7")));
    }
}
