//! Records of the log, with dense ids.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Event, EventKind, Generation, HideScope, Item, ItemIdx, Preferences, User, UserIdx,
};

/// A record of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Record<'a> {
    /// A user's event.
    Event(StoredEvent<'a>),
    /// A complete chunk of an import: all its events lie before this record.
    Imported(u128),
    /// An item was created or replaced.
    Item(ItemIdx, Cow<'a, Item>),
    /// A user was created or replaced.
    User(UserIdx, Cow<'a, User>),
    /// A user was erased, at this time in milliseconds since 1970: all that remains of them.
    Erased(UserIdx, i64),
    /// The placeholder of an erased user's record, so that every other record keeps its offset.
    Gone,
    /// An item was deleted from the catalogue.
    ItemDeleted(ItemIdx),
    /// An item's availability changed, and nothing else.
    ItemAvailable(ItemIdx, bool),
    /// A list was shown.
    Exposure(Box<Exposure<'a>>),
    /// A user decided something of their data.
    Preferences(UserIdx, Cow<'a, Preferences>),
    /// A person decided something: a set of rules, the placements.
    Decision(Decision<'a>),
    /// The shop sent a user something, at this time in milliseconds since 1970.
    Contacted(UserIdx, i64),
    /// An alias, the first, is a user, the second.
    Linked(UserIdx, UserIdx),
    /// An alias is a user of its own again.
    Unlinked(UserIdx),
    /// What came from a topic before this position is taken in.
    TakenIn(Position<'a>),
}

impl Record<'_> {
    /// The user of the record, if it has one and is not their erasure.
    pub fn user(&self) -> Option<UserIdx> {
        match self {
            Record::Event(event) => Some(event.user),
            Record::User(user, _)
            | Record::Preferences(user, _)
            | Record::Contacted(user, _)
            | Record::Linked(user, _)
            | Record::Unlinked(user) => Some(*user),
            Record::Exposure(exposure) => exposure.user,
            _ => None,
        }
    }

    /// The user and the highest item of the record, if it has them.
    pub fn names(&self) -> (Option<UserIdx>, Option<ItemIdx>) {
        match self {
            Record::Event(event) => (Some(event.user), Some(event.item)),
            Record::User(user, _)
            | Record::Preferences(user, _)
            | Record::Contacted(user, _)
            | Record::Unlinked(user)
            | Record::Erased(user, _) => (Some(*user), None),
            Record::Linked(alias, user) => (Some(*alias.max(user)), None),
            Record::Item(item, _) | Record::ItemDeleted(item) | Record::ItemAvailable(item, _) => {
                (None, Some(*item))
            }
            Record::Exposure(exposure) => (exposure.user, exposure.items.iter().copied().max()),
            Record::Imported(_) | Record::Gone | Record::Decision(_) | Record::TakenIn(_) => {
                (None, None)
            }
        }
    }
}

/// An event with dense ids, as stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredEvent<'a> {
    /// The user.
    pub user: UserIdx,
    /// The item.
    pub item: ItemIdx,
    /// The kind.
    pub kind: EventKind,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// How many.
    pub quantity: f64,
    /// Price of one.
    pub price: Option<f64>,
    /// The rating given.
    pub rating: Option<f64>,
    /// Client's id of the event; may be empty.
    pub event_id: &'a str,
    /// Basket, order or invoice; may be empty.
    pub basket_id: &'a str,
    /// The visit; may be empty.
    pub session_id: &'a str,
    /// The answer that led to this; may be empty.
    pub recommendation_id: &'a str,
    /// Where it happened; may be empty.
    pub channel: &'a str,
    /// How long a page was looked at, in milliseconds.
    pub dwell_ms: Option<u32>,
    /// How far an event that hides reaches.
    pub scope: HideScope,
    /// Why it hides; may be empty.
    pub reason: &'a str,
    /// The review of an event that rates; may be empty.
    pub review: &'a str,
    /// What the review says by the shop's own model, -1 to 1.
    pub sentiment: Option<f64>,
}

impl StoredEvent<'_> {
    /// The event with its external ids.
    pub fn named(&self, user_id: &str, item_id: &str) -> Event {
        Event {
            quantity: self.quantity,
            price: self.price,
            rating: self.rating,
            event_id: self.event_id.to_owned(),
            basket_id: self.basket_id.to_owned(),
            session_id: self.session_id.to_owned(),
            recommendation_id: self.recommendation_id.to_owned(),
            channel: self.channel.to_owned(),
            dwell_ms: self.dwell_ms,
            scope: self.scope,
            reason: self.reason.to_owned(),
            review: self.review.to_owned(),
            sentiment: self.sentiment,
            ..Event::new(self.kind, user_id, item_id, self.time_ms)
        }
    }
}

/// A list that was shown: what was answered to whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exposure<'a> {
    /// The user; none for a request without one, or of one without consent.
    pub user: Option<UserIdx>,
    /// The answer's id, as the bits of a UUID.
    pub recommendation_id: u128,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// The generation that scored it; 0 before the first model.
    pub generation: Generation,
    /// The placement; of a request without one, the method's name.
    #[serde(borrow)]
    pub placement: Cow<'a, str>,
    /// The variant of an experiment; empty outside of one.
    #[serde(borrow)]
    pub variant: Cow<'a, str>,
    /// The items in their order: the first is at position 0.
    pub items: Vec<ItemIdx>,
    /// The number of each item's source, in the order of `items`.
    pub sources: Vec<u8>,
    /// The probability with which each item was shown at its position; empty where all are 1.
    pub propensities: Vec<f32>,
    /// Hash of the session's id, of a request without a user; 0 for none.
    pub session: u64,
    /// Where two lists were interleaved: 0 for an item of the first, 1 for one of the second, 2 for one
    /// that both had next; otherwise empty.
    pub teams: Vec<u8>,
}

impl Exposure<'_> {
    /// The same with texts of its own.
    pub fn into_owned(self) -> Exposure<'static> {
        Exposure {
            placement: Cow::Owned(self.placement.into_owned()),
            variant: Cow::Owned(self.variant.into_owned()),
            ..self
        }
    }

    /// The same, borrowing its texts.
    pub fn borrowed(&self) -> Exposure<'_> {
        Exposure {
            placement: Cow::Borrowed(&self.placement),
            variant: Cow::Borrowed(&self.variant),
            sources: self.sources.clone(),
            items: self.items.clone(),
            propensities: self.propensities.clone(),
            teams: self.teams.clone(),
            ..*self
        }
    }
}

/// Where reading a partition of a topic goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition, counted from 0.
    pub partition: u32,
    /// The offset of its next message.
    pub next: u64,
}

/// Something that a person decided, whole: the newest of its kind is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision<'a> {
    /// What it decides: "rules", "placements".
    pub kind: &'a str,
    /// Its version, counted from 1 for each kind.
    pub version: u32,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// Why, in the person's words; may be empty.
    pub note: &'a str,
    /// What is decided, as JSON.
    pub body: &'a str,
}
