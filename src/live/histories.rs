//! Each user's newest events, in time order. Events and not aggregates: every snapshot chooses its
//! own half-life, which cannot be applied afterwards. Impressions are not kept: they are no signal
//! of taste, nor are items that a user hides. Purchases stay known when their events leave.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::AHashMap;
use parking_lot::RwLock;
use rayon::prelude::*;

use super::packed::{self, Packed, put, take};
use crate::domain::history::{Bought, Past, note_bought, note_left, remember};
use crate::domain::{BoxError, EventKind, HistoryEvent, ItemIdx, UserIdx};

/// Number of locks that users share, so that a write delays few readers.
const PARTS: usize = 64;
/// Number of parts that are saved, or restored, at once.
const AT_ONCE: usize = 8;

/// The histories of all users.
#[derive(Debug)]
pub struct Histories {
    parts: Vec<RwLock<Part>>,
    limit: usize,
    /// Bytes of all of them.
    bytes: AtomicUsize,
}

/// The histories of the users that share a lock.
#[derive(Debug, Default)]
struct Part {
    events: Vec<History>,
    /// Purchases in events that left, for the few users with such events.
    bought: AHashMap<usize, Vec<Bought>>,
}

/// The events of one user, oldest first.
#[derive(Debug)]
enum History {
    Open(Vec<HistoryEvent>),
    /// Of a user whose lists another server makes.
    Packed(Packed),
}

impl Default for History {
    fn default() -> Self {
        History::Open(Vec::new())
    }
}

impl History {
    fn read<T>(&self, ask: impl FnOnce(&[HistoryEvent]) -> T) -> T {
        match self {
            History::Open(events) => ask(events),
            History::Packed(packed) => ask(&packed.events().collect::<Vec<_>>()),
        }
    }

    /// Inserts an event; returns whether it is the first that speaks of its item, and the event that left.
    fn record(&mut self, event: HistoryEvent, limit: usize) -> (bool, Option<HistoryEvent>) {
        let is_alike = |known: &HistoryEvent| known.item == event.item && speaks(known);
        match self {
            History::Open(events) => {
                let is_first = !events.iter().any(is_alike);
                (is_first, remember(events, event, limit))
            }
            History::Packed(packed) => packed.record(event, limit, is_alike),
        }
    }

    /// Takes all events out.
    fn take(&mut self) -> Vec<HistoryEvent> {
        match self {
            History::Open(events) => std::mem::take(events),
            History::Packed(packed) => std::mem::take(packed).events().collect(),
        }
    }

    /// Bytes in memory.
    fn bytes(&self) -> usize {
        match self {
            History::Open(events) => events.capacity() * size_of::<HistoryEvent>(),
            History::Packed(packed) => packed.bytes(),
        }
    }
}

impl Histories {
    /// Maximum number of events kept of a user.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Keeps the newest `limit` events of each user.
    pub fn new(limit: usize) -> Self {
        let parts = (0..PARTS).map(|_| RwLock::default()).collect();
        Self { parts, limit, bytes: AtomicUsize::new(0) }
    }

    /// Keeps the history of a user in few bytes from now on: it is read seldom.
    pub(super) fn pack(&self, user: UserIdx) {
        let (part, slot) = place(user);
        let mut part = self.parts[part].write();
        let packed = History::Packed(part.slot(slot).read(Packed::new));
        let before = std::mem::replace(part.slot(slot), packed);
        self.note_bytes(before.bytes(), part.slot(slot).bytes());
    }

    /// Approximate bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let slots = self.parts.iter().map(|part| part.read().events.capacity()).sum::<usize>();
        self.bytes.load(Ordering::Relaxed) + slots * size_of::<History>()
    }

    /// Notes that a history takes other bytes than before. Only one thread changes histories.
    fn note_bytes(&self, before: usize, now: usize) {
        if before != now {
            let others = self.bytes.load(Ordering::Relaxed) - before;
            self.bytes.store(others + now, Ordering::Relaxed);
        }
    }

    /// Passes the histories to `add`, those that share a lock together.
    pub(super) fn save(
        &self,
        add: &mut dyn FnMut(&[u8]) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        for parts in self.parts.chunks(AT_ONCE) {
            let saved: Vec<_> = parts.par_iter().map(|part| part.read().saved()).collect();
            saved.into_iter().try_for_each(|section| add(&section?))?;
        }
        Ok(())
    }

    /// Restores what was saved into empty histories; `section` reads the next section.
    pub(super) fn restore(
        &self,
        section: &mut dyn FnMut() -> Result<Vec<u8>, BoxError>,
    ) -> Result<(), BoxError> {
        let mut bytes = 0;
        for parts in self.parts.chunks(AT_ONCE) {
            let sections: Vec<_> = parts.iter().map(|_| section()).collect::<Result<_, _>>()?;
            let restored = sections.into_par_iter().map(|section| Part::restored(&section));
            let restored: Vec<Part> = restored.collect::<Result<_, _>>()?;
            for (part, restored) in parts.iter().zip(restored) {
                bytes += restored.events.iter().map(History::bytes).sum::<usize>();
                *part.write() = restored;
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the history of a user is kept in few bytes.
    #[cfg(test)]
    pub(super) fn is_packed(&self, user: UserIdx) -> bool {
        let (part, slot) = place(user);
        matches!(self.parts[part].read().events.get(slot), Some(History::Packed(_)))
    }

    /// Inserts an event by time, after those of the same moment. Returns whether it is the first
    /// signal for its item.
    pub(super) fn record(&self, user: UserIdx, event: HistoryEvent) -> bool {
        if !event.kind.is_behaviour() {
            return false;
        }

        let (part, slot) = place(user);
        let mut part = self.parts[part].write();
        let had_left = part.bought.get(&slot).is_some_and(|left| {
            left.binary_search_by_key(&event.item, |bought| bought.item).is_ok()
        });
        let history = part.slot(slot);
        let bytes = history.bytes();
        let (is_first, left) = history.record(event, self.limit);
        self.note_bytes(bytes, history.bytes());
        if let Some(left) = left.filter(|left| Bought::of(left).is_some()) {
            note_left(part.bought.entry(slot).or_default(), &left);
        }
        speaks(&event) && is_first && !had_left
    }

    /// Adds the events of an alias to those of a user; returns the items that both were a signal for.
    pub(super) fn absorb(&self, user: UserIdx, alias: UserIdx) -> Vec<ItemIdx> {
        let of_alias = self.read(alias);
        let items = self.erase(alias);
        let own: HashSet<ItemIdx> = {
            let past = self.read(user);
            let speaking = past.events.iter().filter(|event| speaks(event)).map(|event| event.item);
            speaking.chain(past.bought.iter().map(|bought| bought.item)).collect()
        };

        let (part, slot) = place(user);
        if !of_alias.bought.is_empty() {
            let mut part = self.parts[part].write();
            let bought = part.bought.entry(slot).or_default();
            of_alias.bought.iter().for_each(|left| note_bought(bought, *left));
        }
        for event in of_alias.events {
            self.record(user, event);
        }
        items.into_iter().filter(|item| own.contains(item)).collect()
    }

    /// Erases a user's events; returns the items that they were a signal for.
    pub(super) fn erase(&self, user: UserIdx) -> Vec<ItemIdx> {
        let (part, slot) = place(user);
        let mut part = self.parts[part].write();
        let history = part.events.get_mut(slot).map(|history| {
            self.note_bytes(history.bytes(), 0);
            history.take()
        });
        let history = history.unwrap_or_default();
        let left = part.bought.remove(&slot).unwrap_or_default();

        let speaking = history.into_iter().filter(speaks).map(|event| event.item);
        let mut items: Vec<ItemIdx> = speaking.chain(left.iter().map(|b| b.item)).collect();
        items.sort_unstable();
        items.dedup();
        items
    }

    /// Calls `ask` with a user's events, oldest first.
    pub fn of<T>(&self, user: UserIdx, ask: impl FnOnce(&[HistoryEvent]) -> T) -> T {
        let (part, slot) = place(user);
        match self.parts[part].read().events.get(slot) {
            Some(history) => history.read(ask),
            None => ask(&[]),
        }
    }

    /// Copies a user's past.
    pub fn read(&self, user: UserIdx) -> Past {
        let (part, slot) = place(user);
        let part = self.parts[part].read();
        let events = part.events.get(slot).map(|history| history.read(<[_]>::to_vec));
        Past {
            events: events.unwrap_or_default(),
            bought: part.bought.get(&slot).cloned().unwrap_or_default(),
        }
    }
}

impl Part {
    /// The part as bytes: the number of histories, then of each the number of events, whether it stays packed, the
    /// number of bytes and the bytes; then the purchases that left.
    fn saved(&self) -> Result<Vec<u8>, BoxError> {
        let mut bytes = Vec::new();
        put(&mut bytes, self.events.len() as u64);
        for history in &self.events {
            let (packed, count, stays) = match history {
                History::Open(events) => (Cow::Owned(Packed::new(events)), events.len(), 0),
                History::Packed(packed) => (Cow::Borrowed(packed), 0, 1),
            };
            put(&mut bytes, count as u64);
            put(&mut bytes, stays);
            put(&mut bytes, packed.as_bytes().len() as u64);
            bytes.extend_from_slice(packed.as_bytes());
        }
        Ok(postcard::to_extend(&self.bought, bytes)?)
    }

    fn restored(mut section: &[u8]) -> Result<Self, BoxError> {
        let mut part = Self::default();
        for _ in 0..number(&mut section)? {
            let count = number(&mut section)?;
            let stays = number(&mut section)? > 0;
            let length = number(&mut section)? as usize;
            let (bytes, rest) = section.split_at_checked(length).ok_or("a history is cut short")?;
            section = rest;
            part.events.push(if stays {
                History::Packed(Packed::of(bytes))
            } else {
                let mut events = Vec::with_capacity((count as usize).min(length));
                events.extend(packed::events(bytes));
                if events.len() as u64 != count {
                    return Err("a history has another number of events than it says".into());
                }
                History::Open(events)
            });
        }
        part.bought = postcard::from_bytes(section)?;
        Ok(part)
    }

    fn slot(&mut self, slot: usize) -> &mut History {
        if slot >= self.events.len() {
            self.events.resize_with(slot + 1, History::default);
        }
        &mut self.events[slot]
    }
}

/// Takes a number off the beginning of a section.
fn number(section: &mut &[u8]) -> Result<u64, BoxError> {
    let mut bytes = section.iter().copied();
    let number = take(&mut bytes).ok_or("a part of the histories is cut short")?;
    *section = &section[section.len() - bytes.len()..];
    Ok(number)
}

fn speaks(event: &HistoryEvent) -> bool {
    event.kind != EventKind::Refund
}

fn place(user: UserIdx) -> (usize, usize) {
    (user as usize % PARTS, user as usize / PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_events_go_where_they_belong_and_the_oldest_leave() {
        let event = |item, time_ms| HistoryEvent::new(EventKind::View, item, time_ms);
        let histories = Histories::new(3);
        assert!(histories.record(70, event(1, 10)));
        assert!(histories.record(70, event(2, 30)));
        assert!(histories.record(70, event(3, 20)));
        assert!(!histories.record(70, event(1, 30)));
        let items =
            |user| -> Vec<u32> { histories.read(user).events.iter().map(|e| e.item).collect() };
        assert_eq!((items(70), items(6)), (vec![3, 2, 1], vec![]));
        assert_eq!((histories.erase(70), histories.erase(6)), (vec![1, 2, 3], vec![]));
        assert_eq!(histories.read(70), Past::default());
    }

    #[test]
    fn a_packed_history_is_as_one_that_is_not() {
        let (open, packed) = (Histories::new(3), Histories::new(3));
        packed.pack(70);
        assert!(packed.is_packed(70) && !open.is_packed(70) && !packed.is_packed(6));
        for (n, kind) in EventKind::ALL.into_iter().chain(EventKind::ALL).enumerate() {
            let event = HistoryEvent::new(kind, n as u32 % 5, 40 - n as i64);
            assert_eq!(open.record(70, event), packed.record(70, event), "{event:?}");
            open.record(6, event);
            packed.record(6, event);
            assert_eq!(open.read(70), packed.read(70));
        }
        let bytes = [&open, &packed].map(|all| all.bytes.load(Ordering::Relaxed));
        assert!(0 < bytes[1] && bytes[1] < bytes[0], "{bytes:?}");
        assert_eq!(open.absorb(70, 6), packed.absorb(70, 6));
        assert_eq!(open.read(70), packed.read(70));
        assert_eq!(open.erase(70), packed.erase(70));
        assert!(packed.is_packed(70) && packed.read(70) == Past::default());
        assert_eq!([&open, &packed].map(|all| all.bytes.load(Ordering::Relaxed)), [0, 0]);
    }

    #[test]
    fn an_alias_brings_its_events_and_what_left_it() {
        let histories = Histories::new(2);
        let buy = |item, time_ms| HistoryEvent::new(EventKind::Purchase, item, time_ms);
        for (user, item, time) in [(1, 7, 5), (2, 8, 1), (2, 9, 2), (2, 7, 3), (1, 8, 9)] {
            histories.record(user, buy(item, time));
        }
        assert_eq!(histories.absorb(1, 2), [7, 8], "both had bought these");
        assert_eq!(histories.read(2), Past::default());
        let past = histories.read(1);
        assert_eq!(past.events.iter().map(|e| e.item).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(past.bought.iter().map(|b| b.item).collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn views_leave_before_purchases_and_impressions_do_not_come() {
        let histories = Histories::new(2);
        let event = |kind, item, time_ms| HistoryEvent::new(kind, item, time_ms);
        assert!(histories.record(0, event(EventKind::Purchase, 1, 1)));
        assert!(!histories.record(0, event(EventKind::Impression, 9, 2)));
        for time in 3..9 {
            histories.record(0, event(EventKind::View, 7, time));
        }
        let past = histories.read(0);
        assert_eq!(past.events.iter().map(|e| e.item).collect::<Vec<_>>(), [1, 7]);
        assert!(past.bought.is_empty());
    }

    #[test]
    fn what_was_bought_stays_bought_when_its_event_leaves() {
        let histories = Histories::new(2);
        let buy = |item, time_ms| HistoryEvent::new(EventKind::Purchase, item, time_ms);
        for item in 0..5 {
            assert!(histories.record(0, buy(item, i64::from(item))));
        }
        assert!(!histories.record(0, buy(1, 9)), "it was bought before");
        let bought: Vec<u32> = histories.read(0).bought.iter().map(|b| b.item).collect();
        assert_eq!(bought, [0, 1, 2, 3]);
        assert_eq!(histories.erase(0), [0, 1, 2, 3, 4]);
        assert_eq!(histories.read(0), Past::default());
    }

    #[test]
    fn a_past_is_cut_as_live_state_cuts_it() {
        let event = |n: u32| {
            let kind = if n.is_multiple_of(3) { EventKind::View } else { EventKind::Purchase };
            HistoryEvent::new(kind, n, i64::from(n))
        };

        let events: Vec<_> = (0..9).map(event).collect();
        let live = Histories::new(4);
        for &event in &events {
            live.record(0, event);
        }

        assert_eq!(live.read(0), Past::of(&events, 4));
        let kept: Vec<u32> = live.read(0).events.iter().map(|e| e.item).collect();
        assert_eq!(kept, [4, 5, 7, 8]);
    }
}
