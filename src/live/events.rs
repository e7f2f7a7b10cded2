//! An event becomes live state: its user's, and the counts of the store.

use std::sync::atomic::Ordering;

use super::{Live, LiveWriter, TAKEN, history_event, overlay};
use crate::content::sentiment;
use crate::domain::history::first_distinct;
use crate::domain::order::{Noted, Trade};
use crate::domain::{EventKind, HistoryEvent, ItemIdx, Offset, UserIdx, now_ms};
use crate::matrix::weight::kind_weight;
use crate::store::StoredEvent;

impl Live {
    pub(super) fn apply_event(&self, writer: &mut LiveWriter, event: &StoredEvent<'_>) {
        let user = self.resolved(event.user);
        let (event, remembered) = self.read_event(writer, event, user);
        let time_ms = remembered.time_ms;
        let (sales, first) = self.note_user(writer, &event, &remembered);
        for (trade, noted) in &sales {
            self.activity.write(writer).note_sale(trade, *noted);
        }
        self.events.fetch_add(1, Ordering::Relaxed);
        self.newest_ms.fetch_max(time_ms, Ordering::Relaxed);
        let profiles = self.profiles.read();
        if !profiles.consents(event.user) {
            return;
        }
        let profile = profiles.get(event.user);
        let cohorts = profile.map_or(Vec::new(), |user| self.cohorts(&user.attributes));
        drop(profiles);
        if event.kind == EventKind::Rating {
            let sentiment = event.sentiment.or_else(|| sentiment(event.review));
            self.reviews.write(writer).note(event.item, event.rating, sentiment);
        }
        if matches!(event.kind, EventKind::Click | EventKind::Purchase | EventKind::Refund) {
            self.outcomes.write(writer).note(event.item, event.kind);
        }

        if first {
            self.note_buyer(writer, event.item);
        }

        // Repeated views of one item count once.
        let weight = kind_weight(event.kind);
        if weight > 0.0 && (first || event.kind == EventKind::Purchase) {
            self.trends.write(writer).note(event.user, event.item, weight, time_ms, &cohorts);
        }
    }

    /// Notes an event in the state of its user; returns what they bought or gave back, and whether it is their
    /// first signal for its item.
    pub(super) fn note_user(
        &self,
        writer: &mut LiveWriter,
        event: &StoredEvent<'_>,
        remembered: &HistoryEvent,
    ) -> (Vec<(Trade, Noted)>, bool) {
        let sales = self.note_trade(writer, event, remembered);
        let first = self.histories.record(event.user, *remembered);
        let concerns_hidden = self.hidden.read().concerns(event.user, event.kind);
        if concerns_hidden {
            let mut hidden = self.hidden.write(writer);
            hidden.note(event.user, event.item, event.kind, event.scope);
        }

        let counts = self.impressions.read().concerns(event.user, event.kind);
        if counts && self.profiles.read().consents(event.user) {
            let mut impressions = self.impressions.write(writer);
            impressions.note(event.user, event.item, event.kind);
        }
        (sales, first)
    }

    fn channel(&self, writer: &mut LiveWriter, name: &str) -> u8 {
        let known = self.channels.read().number(name);
        known.unwrap_or_else(|| self.channels.write(writer).intern(name))
    }

    /// The time of an event, at most now: events of a clock that was ahead count as of now, and how
    /// far it was ahead is remembered.
    fn no_later_than_now(&self, time_ms: i64) -> i64 {
        // Most events are not later than the latest one so far, so the clock is rarely read.
        if time_ms <= self.newest_ms.load(Ordering::Relaxed) {
            return time_ms;
        }
        let now_ms = now_ms();
        if time_ms > now_ms {
            self.ahead_ms.fetch_max(time_ms - now_ms, Ordering::Relaxed);
        }
        time_ms.min(now_ms)
    }

    /// Counts a user who turned to an item for the first time.
    pub(super) fn note_buyer(&self, writer: &mut LiveWriter, item: ItemIdx) {
        let mut buyers = self.buyers.write(writer);
        let item = item as usize;
        if item >= buyers.len() {
            buyers.resize(item + 1, 0);
        }
        buyers[item] += 1;
    }

    /// An event of a user, whose id it may not name, and as histories keep it.
    pub(super) fn read_event<'e>(
        &self,
        writer: &mut LiveWriter,
        event: &StoredEvent<'e>,
        user: UserIdx,
    ) -> (StoredEvent<'e>, HistoryEvent) {
        let event = StoredEvent { user, ..*event };
        let time_ms = self.no_later_than_now(event.time_ms);
        let channel = self.channel(writer, event.channel);
        let remembered = HistoryEvent { time_ms, channel, ..history_event(&event) };
        (event, remembered)
    }

    /// Adds the pairs of an applied event to the overlay.
    pub(crate) fn note_pairs(
        &self,
        _writer: &mut LiveWriter,
        offset: Offset,
        event: &StoredEvent<'_>,
    ) {
        let user = self.resolved(event.user);
        if kind_weight(event.kind) < TAKEN || !self.profiles.read().consents(user) {
            return;
        }

        let taken = |e: &&HistoryEvent| kind_weight(e.kind) >= TAKEN;
        let others = self.histories.of(user, |history| {
            let before = history.iter().filter(|e| e.item == event.item).filter(taken).count();
            // A user who took the item before has its pairs already.
            let others = history.iter().rev().filter(taken).filter(|_| before == 1);
            let others = others.map(|e| e.item).filter(|&item| item != event.item);
            first_distinct(others, overlay::PARTNERS)
        });

        if !others.is_empty() {
            self.overlay.write().note(offset, user, event.item, &others);
        }
    }
}
