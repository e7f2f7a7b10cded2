//! Stages a group of writes for the log: names get their idx, duplicates are dropped, and writes
//! beyond the limits of the store are refused.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use super::edits::Edits;
use super::link_check::LinkCheck;
use super::names::Names;
use super::request::{NewDecision, Receipt, TakenIn, Write};
use crate::domain::{Error, Event, ItemChange, Offset, PreferenceChange, Result};
use crate::engine::options::StoreLimits;
use crate::engine::state::State;
use crate::live::{Decisions, DedupWindow, Links, Positions, Profiles, Shared};
use crate::store::{BlockBuilder, Decision, Exposure, Record, StoredEvent};

/// Events of a write that are not recorded.
#[derive(Debug, Default)]
struct LeftOut {
    duplicates: usize,
    declined: usize,
}

/// A group of writes as records.
pub(super) struct Staged<'g> {
    pub(super) block: BlockBuilder,
    pub(super) records: Vec<Record<'g>>,
    pub(super) receipts: Vec<Result<Receipt>>,
    pub(super) users: Names<'g>,
    pub(super) items: Names<'g>,
    edits: Edits<'g>,
    decisions: &'g Shared<Decisions>,
    profiles: &'g Shared<Profiles>,
    links: &'g Shared<Links>,
    positions: &'g Shared<Positions>,
    limits: StoreLimits,
    /// Why writes that grow the store are refused; none where they are accepted.
    full: Option<String>,
}

impl<'g> Staged<'g> {
    pub(super) fn new(state: &'g State, limits: StoreLimits, full: Option<String>) -> Self {
        Self {
            block: BlockBuilder::default(),
            records: Vec::new(),
            receipts: Vec::new(),
            users: Names::new(&state.live.users),
            items: Names::new(&state.live.items),
            edits: Edits::new(&state.live.catalogue),
            decisions: &state.live.decisions,
            profiles: &state.live.profiles,
            links: &state.live.links,
            positions: &state.live.positions,
            limits,
            full,
        }
    }

    /// Stages a write, all of it or nothing, and its receipt.
    pub(super) fn add(&mut self, write: &'g Write, dedup: &mut DedupWindow, base: Offset) {
        let before = self.records.len();
        let staged = self.check_room(write).and_then(|()| self.stage(write, dedup));
        self.receipts.push(staged.map(|left_out| Receipt {
            recorded: self.records.len() - before,
            duplicates: left_out.duplicates,
            declined: left_out.declined,
            offset: base + self.records.len() as Offset,
        }));
    }

    fn stage(&mut self, write: &'g Write, dedup: &mut DedupWindow) -> Result<LeftOut> {
        let mut left_out = LeftOut::default();
        match write {
            Write::Events(events) => left_out = self.add_events(events, dedup),
            Write::Imported(digest, events) => {
                left_out = self.add_events(events, dedup);
                self.push(Record::Imported(*digest));
            }
            Write::Items(changes) => self.add_items(changes)?,
            Write::Availability(ids, available) => self.add_availability(ids, *available),
            Write::DeleteItems(ids) => {
                for idx in ids.iter().filter_map(|id| self.items.get(id)).collect::<BTreeSet<_>>() {
                    if self.edits.is_there(idx) {
                        self.push(Record::ItemDeleted(idx));
                    }
                }
            }

            Write::Users(users) => {
                for (id, user) in users {
                    let idx = self.users.intern(id, |id| self.block.define_user(id));
                    self.push(Record::User(idx, Cow::Borrowed(user)));
                }
            }
            Write::Prefer(id, change, or_new) => self.add_preference(id, change, *or_new)?,
            Write::Contacted(ids, time_ms) => {
                for id in ids {
                    if let Some(idx) = self.users.get(id) {
                        self.push(Record::Contacted(idx, *time_ms));
                    }
                }
            }
            Write::Link(id, aliases) => self.add_links(id, aliases)?,
            Write::Unlink(aliases) => self.add_unlinks(aliases),
            Write::Erase(ids, time_ms) => {
                let links = self.links.read();
                let known = ids.iter().filter_map(|id| self.users.get(id));
                let all: BTreeSet<_> = known.flat_map(|idx| links.all(idx)).collect();
                drop(links);
                all.into_iter().for_each(|idx| self.push(Record::Erased(idx, *time_ms)));
            }

            Write::Decide(decision) => self.add_decision(decision)?,
            Write::TakenIn(write, parts) => {
                self.check_next(parts)?;
                left_out = self.stage(write, dedup)?;
                parts.iter().for_each(|part| self.push(Record::TakenIn(part.end())));
            }
            Write::Exposures | Write::Copied(_) | Write::Seal | Write::Flush => {}
        }
        Ok(left_out)
    }

    /// Whether a write would grow the store. Updates of known users and items, such as an objection
    /// or a sold-out mark, do not.
    fn grows(&self, write: &Write) -> bool {
        match write {
            Write::Events(events) | Write::Imported(_, events) => !events.is_empty(),
            Write::Items(given) => given.iter().any(|(id, _)| self.items.get(id).is_none()),
            Write::Users(given) => given.iter().any(|(id, _)| self.users.get(id).is_none()),
            Write::Link(_, aliases) => aliases.iter().any(|id| self.users.get(id).is_none()),
            Write::TakenIn(write, _) => self.grows(write),
            Write::Exposures
            | Write::Copied(_)
            | Write::Decide(_)
            | Write::Availability(..)
            | Write::DeleteItems(_)
            | Write::Prefer(..)
            | Write::Contacted(..)
            | Write::Unlink(_)
            | Write::Erase(..)
            | Write::Seal
            | Write::Flush => false,
        }
    }

    /// Refuses a write whose new names exceed the limits, and any that grows the store where memory
    /// is short.
    fn check_room(&self, write: &Write) -> Result<()> {
        if let Some(full) = &self.full
            && self.grows(write)
        {
            return Err(Error::Full(full.clone()));
        }
        let StoreLimits { max_users, max_items, .. } = self.limits;
        let (mut users, mut items): (HashSet<&str>, HashSet<&str>) = Default::default();

        // Most writes are far from any limit and need no count.
        let users_left = self.users.left(max_users);
        let items_left = self.items.left(max_items);
        if users_left.min(items_left) >= write.len() {
            return Ok(());
        }

        let new = match write {
            Write::TakenIn(write, _) => write,
            write => write,
        };
        match new {
            Write::Events(events) | Write::Imported(_, events) => {
                users.extend(events.iter().map(|event| event.user_id.as_str()));
                items.extend(events.iter().map(|event| event.item_id.as_str()));
            }
            Write::Items(given) => items.extend(given.iter().map(|(id, _)| id.as_str())),
            Write::Users(given) => users.extend(given.iter().map(|(id, _)| id.as_str())),
            Write::Link(id, aliases) => {
                users.extend(aliases.iter().chain([id]).map(String::as_str));
            }
            Write::Exposures
            | Write::Copied(_)
            | Write::TakenIn(..)
            | Write::Decide(_)
            | Write::Availability(..)
            | Write::DeleteItems(_)
            | Write::Prefer(..)
            | Write::Contacted(..)
            | Write::Unlink(_)
            | Write::Erase(..)
            | Write::Seal
            | Write::Flush => {}
        }

        users.retain(|id| self.users.get(id).is_none());
        items.retain(|id| self.items.get(id).is_none());
        let checks = [
            ("users", "limits.max_users", max_users, users.len(), users_left),
            ("items", "limits.max_items", max_items, items.len(), items_left),
        ];

        for (what, setting, max, new, left) in checks {
            if new > left {
                return Err(Error::Full(format!(
                    "the store takes {max} {what} ({setting}), has room for {left} more, and \
                     the write brings {new}"
                )));
            }
        }
        Ok(())
    }

    /// Checks that parts of topics begin where reading ended: they end their group, so that live state has all
    /// before them.
    fn check_next(&self, parts: &[TakenIn]) -> Result<()> {
        let positions = self.positions.read();
        for TakenIn { topic, partition, from, .. } in parts {
            let next = positions.next(topic, *partition);
            if next != *from {
                return Err(Error::Conflict(format!(
                    "partition {partition} of the topic {topic} is read up to {next:?}, not {from:?}"
                )));
            }
        }
        Ok(())
    }

    /// Stages changed items, all or none.
    fn add_items(&mut self, changes: &'g [(String, ItemChange)]) -> Result<()> {
        let idxs: Vec<_> = changes.iter().map(|(id, _)| self.items.get(id)).collect();
        let items = self.edits.applied(changes, &idxs, &self.records)?;
        for ((id, _), item) in changes.iter().zip(items) {
            let idx = self.items.intern(id, |id| self.block.define_item(id));
            self.edits.write(idx, self.records.len());
            self.push(Record::Item(idx, item));
        }
        Ok(())
    }

    /// Stages the availability of known items.
    fn add_availability(&mut self, ids: &[String], available: bool) {
        for id in ids {
            if let Some(idx) = self.items.get(id)
                && self.edits.set_available(idx, available)
            {
                self.push(Record::ItemAvailable(idx, available));
            }
        }
    }

    /// Stages a decision as the next version of its kind: it ends its group, so the newest version is
    /// that of live state.
    fn add_decision(&mut self, decision: &'g NewDecision) -> Result<()> {
        let NewDecision { kind, expected_version, time_ms, note, body } = decision;
        let newest = self.decisions.read().newest(kind).map_or(0, |decided| decided.version);
        if let Some(expected) = expected_version.filter(|&expected| expected != newest) {
            return Err(Error::Conflict(format!(
                "the {kind} are of version {newest}, not {expected}: another change came first"
            )));
        }
        let (version, time_ms) = (newest + 1, *time_ms);
        self.push(Record::Decision(Decision { kind, version, time_ms, note, body }));
        Ok(())
    }

    /// Stages exposures; those of a user who was erased since name no one.
    pub(super) fn add_exposures(&mut self, exposures: &'g [Exposure<'static>]) {
        let users = self.users.known;
        for exposure in exposures {
            let user = exposure.user.filter(|&user| !users.read().id(user).is_empty());
            let exposure = Exposure { user, ..exposure.borrowed() };
            self.push(Record::Exposure(Box::new(exposure)));
        }
    }

    /// Stages a user's decision after those before it: it ends its group, so that live state has them.
    fn add_preference(
        &mut self,
        id: &'g str,
        change: &PreferenceChange,
        or_new: bool,
    ) -> Result<()> {
        // An objection is taken also where the store is full.
        let idx = if or_new {
            self.users.intern(id, |id| self.block.define_user(id))
        } else {
            let Some(idx) = self.users.get(id) else { return Ok(()) };
            idx
        };
        let user = self.links.read().resolve(idx);
        let before = self.profiles.read().preferences(user).cloned().unwrap_or_default();
        let after = change.applied(&before)?;
        // It is the user's, and stays with each id should their link be taken back.
        let all = self.links.read().all(idx);
        all.into_iter()
            .for_each(|id| self.push(Record::Preferences(id, Cow::Owned(after.clone()))));
        Ok(())
    }

    /// Stages links after those before them: they end their group, so that live state has these. All or none;
    /// what is linked already is left out.
    fn add_links(&mut self, id: &'g str, aliases: &'g [String]) -> Result<()> {
        let check = LinkCheck { users: &self.users, links: self.links, profiles: self.profiles };
        let new = check.new_links(id, aliases)?;
        let user = self.users.intern(id, |id| self.block.define_user(id));
        for alias in new {
            let alias = self.users.intern(alias, |id| self.block.define_user(id));
            self.push(Record::Linked(alias, user));
        }
        Ok(())
    }

    /// Stages the end of links, each once: these end their group too.
    fn add_unlinks(&mut self, aliases: &[String]) {
        let ids: BTreeSet<u32> = aliases.iter().filter_map(|id| self.users.get(id)).collect();
        for idx in ids {
            if self.links.read().is_alias(idx) {
                self.push(Record::Unlinked(idx));
            }
        }
    }

    /// Stages events that are not duplicates and that their users let be recorded; counts the others.
    fn add_events(&mut self, events: &'g [Event], dedup: &mut DedupWindow) -> LeftOut {
        let mut left_out = LeftOut::default();
        for event in events {
            let known = self.users.get(&event.user_id).map(|idx| self.links.read().resolve(idx));
            if known.is_some_and(|user| !self.profiles.read().records(user)) {
                left_out.declined += 1;
                continue;
            }
            if !dedup.remember(&event.event_id) {
                left_out.duplicates += 1;
                continue;
            }
            let user = self.users.intern(&event.user_id, |id| self.block.define_user(id));
            let item = self.items.intern(&event.item_id, |id| self.block.define_item(id));
            self.push(Record::Event(stored(event, user, item)));
        }
        left_out
    }

    fn push(&mut self, record: Record<'g>) {
        self.block.push(&record);
        self.records.push(record);
    }
}

fn stored(event: &Event, user: u32, item: u32) -> StoredEvent<'_> {
    StoredEvent {
        user,
        item,
        kind: event.kind,
        time_ms: event.time_ms,
        quantity: event.quantity,
        price: event.price,
        rating: event.rating,
        event_id: &event.event_id,
        basket_id: &event.basket_id,
        session_id: &event.session_id,
        recommendation_id: &event.recommendation_id,
        channel: &event.channel,
        dwell_ms: event.dwell_ms,
        scope: event.scope,
        reason: &event.reason,
        review: &event.review,
        sentiment: event.sentiment,
    }
}
