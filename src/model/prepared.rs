//! Prepared lists, for users who have done nothing since: serving one costs no more than reading
//! it.

use super::Source;
use crate::domain::{HistoryEvent, ItemIdx, UserIdx};

/// Blended lists by user, each with rare items for the places that are theirs. They hold for one
/// history, and for one repeat policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prepared {
    /// Whether they offer items that the user bought.
    pub repeats: bool,
    /// By user: the [`stamp`] of their history; 0 without a list.
    pub stamps: Vec<u64>,
    /// User u has `lengths[u]` entries from `starts[u]` on, best first; the rare items follow the
    /// list.
    pub starts: Vec<u32>,
    /// By user: number of entries; 0 without a list.
    pub lengths: Vec<u8>,
    /// Items.
    pub items: Vec<ItemIdx>,
    /// Their scores.
    pub scores: Vec<f32>,
    /// The source of each, as its index in [`Source::BLENDED`]; [`Prepared::RARE`] for a rare item.
    pub sources: Vec<u8>,
}

impl Prepared {
    /// Marks an entry as a rare item that follows the list.
    pub const RARE: u8 = u8::MAX;

    /// A user's list, best first, if there is one for this history.
    pub fn list(&self, user: UserIdx, history: &[HistoryEvent]) -> Option<PreparedEntries<'_>> {
        let user = user as usize;
        let length = usize::from(*self.lengths.get(user)?);
        if length == 0 || self.stamps[user] != stamp(history) {
            return None;
        }
        let start = self.starts[user] as usize;
        let of_user = start..start + length;
        Some(PreparedEntries {
            repeats: self.repeats,
            items: &self.items[of_user.clone()],
            scores: &self.scores[of_user.clone()],
            sources: &self.sources[of_user],
        })
    }

    /// Adds a user's list.
    pub fn push(&mut self, user: UserIdx, list: &PreparedList) {
        let user = user as usize;
        self.stamps[user] = list.stamp;
        self.starts[user] = self.items.len() as u32;
        self.lengths[user] = list.items.len() as u8;
        self.items.extend(&list.items);
        self.scores.extend(&list.scores);
        self.sources.extend(&list.sources);
    }

    /// Whether the arrays fit together.
    pub fn is_consistent(&self) -> bool {
        let users = self.lengths.len();
        let entries = self.items.len();
        let is_known = |place: u8| usize::from(place) < Source::BLENDED.len();
        let mut ends = self.starts.iter().zip(&self.lengths);
        [self.stamps.len(), self.starts.len()] == [users; 2]
            && [self.scores.len(), self.sources.len()] == [entries; 2]
            && self.sources.iter().all(|&place| is_known(place) || place == Self::RARE)
            && ends.all(|(&start, &length)| start as usize + usize::from(length) <= entries)
    }
}

/// One user's list, outside of a snapshot's: at most 255 entries, as in [`Prepared`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PreparedList {
    /// Whether it offers items that the user bought.
    pub repeats: bool,
    /// The [`stamp`] of the history that it holds for.
    pub stamp: u64,
    /// Items, best first; the rare items follow the list.
    pub items: Vec<ItemIdx>,
    /// Their scores.
    pub scores: Vec<f32>,
    /// Their sources, as in [`Prepared::sources`].
    pub sources: Vec<u8>,
}

impl PreparedList {
    /// Its entries, if it holds for this history.
    pub fn list(&self, history: &[HistoryEvent]) -> Option<PreparedEntries<'_>> {
        let Self { repeats, items, scores, sources, .. } = self;
        (self.stamp == stamp(history)).then_some(PreparedEntries {
            repeats: *repeats,
            items,
            scores,
            sources,
        })
    }
}

/// The entries of a prepared list, best first.
#[derive(Debug, Clone, Copy)]
pub struct PreparedEntries<'a> {
    /// Whether they offer items that the user bought.
    pub repeats: bool,
    items: &'a [ItemIdx],
    scores: &'a [f32],
    sources: &'a [u8],
}

impl<'a> PreparedEntries<'a> {
    /// Items, scores and sources. Rare items that follow the list have no source.
    pub fn iter(self) -> impl Iterator<Item = (ItemIdx, f32, Option<Source>)> + use<'a> {
        (0..self.items.len()).map(move |at| {
            let source = Source::BLENDED.get(usize::from(self.sources[at]));
            (self.items[at], self.scores[at], source.copied())
        })
    }
}

/// Identifies a history: a hash of all its events, since a late event may be inserted while the
/// oldest leaves.
pub fn stamp(history: &[HistoryEvent]) -> u64 {
    history.iter().fold(history.len() as u64, |hash, e| {
        let event = e.time_ms as u64 ^ (u64::from(e.item) << 32) ^ ((e.kind as u64) << 60);
        (hash.rotate_left(5) ^ event).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    })
}
