//! Records as they lie on disk, in postcard's format: those that this version writes, and those that
//! earlier versions wrote, which are read as today's.
//!
//! A record is its number here and its fields: new kinds come last, and no kind changes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::{Decision, Exposure, Position, Record, StoredEvent};
use crate::domain::{
    EventKind, Generation, HideScope, Item, ItemIdx, Preferences, User, UserIdx, Validity,
};

/// A record on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum OnDisk<'a> {
    /// An event, up to format 4.
    #[serde(borrow)]
    EventOf4(EventOf4<'a>),
    /// An item of format 1.
    ItemOf1(ItemIdx, ItemOf1),
    Imported(u128),
    /// An item of formats 2 to 4.
    ItemOf4(ItemIdx, ItemOf4),
    User(UserIdx, Cow<'a, User>),
    Erased(UserIdx, i64),
    Gone,
    ItemDeleted(ItemIdx),
    ItemAvailable(ItemIdx, bool),
    /// An event without a review, and any of formats 5 to 7.
    #[serde(borrow)]
    Event(EventOf7<'a>),
    Item(ItemIdx, Cow<'a, Item>),
    /// An exposure of format 5.
    #[serde(borrow)]
    ExposureOf5(ExposureOf5<'a>),
    #[serde(borrow)]
    Decision(Decision<'a>),
    #[serde(borrow)]
    Exposure(Exposure<'a>),
    /// Since format 7.
    Preferences(UserIdx, Cow<'a, Preferences>),
    /// Since format 8.
    Contacted(UserIdx, i64),
    Linked(UserIdx, UserIdx),
    Unlinked(UserIdx),
    /// An event with its review and the shop's sentiment.
    Review(#[serde(borrow)] EventOf7<'a>, &'a str, Option<f64>),
    /// Since format 9.
    #[serde(borrow)]
    TakenIn(Position<'a>),
}

/// An event without a review: most are.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventOf7<'a> {
    #[serde(borrow)]
    before: EventOf4<'a>,
    dwell_ms: Option<u32>,
    scope: HideScope,
    reason: &'a str,
}

/// An event before it had a dwell time and could hide.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventOf4<'a> {
    user: UserIdx,
    item: ItemIdx,
    kind: EventKind,
    time_ms: i64,
    quantity: f64,
    price: Option<f64>,
    rating: Option<f64>,
    event_id: &'a str,
    basket_id: &'a str,
    session_id: &'a str,
    recommendation_id: &'a str,
    channel: &'a str,
}

/// An exposure before it had a session and teams.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExposureOf5<'a> {
    user: Option<UserIdx>,
    recommendation_id: u128,
    time_ms: i64,
    generation: Generation,
    #[serde(borrow)]
    placement: Cow<'a, str>,
    #[serde(borrow)]
    variant: Cow<'a, str>,
    items: Vec<ItemIdx>,
    sources: Vec<u8>,
    propensities: Vec<f32>,
}

/// An item before it had a validity.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ItemOf1 {
    title: String,
    categories: Vec<String>,
    brand: String,
    price: Option<f64>,
    tags: Vec<String>,
    available: bool,
    attributes: BTreeMap<String, String>,
}

/// An item before it had a description, a group, a margin, vectors and offers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ItemOf4 {
    before: ItemOf1,
    validity: Validity,
}

impl<'a> From<OnDisk<'a>> for Record<'a> {
    fn from(on_disk: OnDisk<'a>) -> Self {
        match on_disk {
            OnDisk::EventOf4(event) => Record::Event(event.into()),
            OnDisk::ItemOf1(idx, item) => Record::Item(idx, Cow::Owned(item.into())),
            OnDisk::ItemOf4(idx, ItemOf4 { before, validity }) => {
                Record::Item(idx, Cow::Owned(Item { validity, ..before.into() }))
            }
            OnDisk::Imported(digest) => Record::Imported(digest),
            OnDisk::User(idx, user) => Record::User(idx, user),
            OnDisk::Erased(idx, time_ms) => Record::Erased(idx, time_ms),
            OnDisk::Gone => Record::Gone,
            OnDisk::ItemDeleted(idx) => Record::ItemDeleted(idx),
            OnDisk::ItemAvailable(idx, available) => Record::ItemAvailable(idx, available),
            OnDisk::Event(event) => Record::Event(event.into()),
            OnDisk::Review(event, review, sentiment) => {
                Record::Event(StoredEvent { review, sentiment, ..event.into() })
            }
            OnDisk::Item(idx, item) => Record::Item(idx, item),
            OnDisk::ExposureOf5(exposure) => Record::Exposure(Box::new(exposure.into())),
            OnDisk::Exposure(exposure) => Record::Exposure(Box::new(exposure)),
            OnDisk::Decision(decision) => Record::Decision(decision),
            OnDisk::Preferences(idx, preferences) => Record::Preferences(idx, preferences),
            OnDisk::Contacted(idx, time_ms) => Record::Contacted(idx, time_ms),
            OnDisk::Linked(alias, user) => Record::Linked(alias, user),
            OnDisk::Unlinked(alias) => Record::Unlinked(alias),
            OnDisk::TakenIn(position) => Record::TakenIn(position),
        }
    }
}

impl<'a> From<&'a Record<'_>> for OnDisk<'a> {
    fn from(record: &'a Record<'_>) -> Self {
        match record {
            Record::Event(event) if event.review.is_empty() && event.sentiment.is_none() => {
                OnDisk::Event((*event).into())
            }
            Record::Event(event) => OnDisk::Review((*event).into(), event.review, event.sentiment),
            Record::Imported(digest) => OnDisk::Imported(*digest),
            Record::Item(idx, item) => OnDisk::Item(*idx, Cow::Borrowed(item)),
            Record::User(idx, user) => OnDisk::User(*idx, Cow::Borrowed(user)),
            Record::Erased(idx, time_ms) => OnDisk::Erased(*idx, *time_ms),
            Record::Gone => OnDisk::Gone,
            Record::ItemDeleted(idx) => OnDisk::ItemDeleted(*idx),
            Record::ItemAvailable(idx, available) => OnDisk::ItemAvailable(*idx, *available),
            Record::Exposure(exposure) => OnDisk::Exposure(exposure.borrowed()),
            Record::Decision(decision) => OnDisk::Decision(*decision),
            Record::Preferences(idx, preferences) => {
                OnDisk::Preferences(*idx, Cow::Borrowed(preferences))
            }
            Record::Contacted(idx, time_ms) => OnDisk::Contacted(*idx, *time_ms),
            Record::Linked(alias, user) => OnDisk::Linked(*alias, *user),
            Record::Unlinked(alias) => OnDisk::Unlinked(*alias),
            Record::TakenIn(position) => OnDisk::TakenIn(*position),
        }
    }
}

impl<'a> From<EventOf7<'a>> for StoredEvent<'a> {
    fn from(EventOf7 { before, dwell_ms, scope, reason }: EventOf7<'a>) -> Self {
        StoredEvent { dwell_ms, scope, reason, ..before.into() }
    }
}

impl<'a> From<StoredEvent<'a>> for EventOf7<'a> {
    fn from(event: StoredEvent<'a>) -> Self {
        let before = EventOf4 {
            user: event.user,
            item: event.item,
            kind: event.kind,
            time_ms: event.time_ms,
            quantity: event.quantity,
            price: event.price,
            rating: event.rating,
            event_id: event.event_id,
            basket_id: event.basket_id,
            session_id: event.session_id,
            recommendation_id: event.recommendation_id,
            channel: event.channel,
        };
        EventOf7 { before, dwell_ms: event.dwell_ms, scope: event.scope, reason: event.reason }
    }
}

impl<'a> From<EventOf4<'a>> for StoredEvent<'a> {
    fn from(before: EventOf4<'a>) -> Self {
        StoredEvent {
            user: before.user,
            item: before.item,
            kind: before.kind,
            time_ms: before.time_ms,
            quantity: before.quantity,
            price: before.price,
            rating: before.rating,
            event_id: before.event_id,
            basket_id: before.basket_id,
            session_id: before.session_id,
            recommendation_id: before.recommendation_id,
            channel: before.channel,
            dwell_ms: None,
            scope: HideScope::Item,
            reason: "",
            review: "",
            sentiment: None,
        }
    }
}

impl<'a> From<ExposureOf5<'a>> for Exposure<'a> {
    fn from(before: ExposureOf5<'a>) -> Self {
        Exposure {
            user: before.user,
            recommendation_id: before.recommendation_id,
            time_ms: before.time_ms,
            generation: before.generation,
            placement: before.placement,
            variant: before.variant,
            items: before.items,
            sources: before.sources,
            propensities: before.propensities,
            session: 0,
            teams: Vec::new(),
        }
    }
}

impl From<ItemOf1> for Item {
    fn from(before: ItemOf1) -> Self {
        let ItemOf1 { title, categories, brand, price, tags, available, attributes } = before;
        Item { title, categories, brand, price, tags, available, attributes, ..Item::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Record<'_> {
        let (on_disk, rest) = postcard::take_from_bytes::<OnDisk<'_>>(bytes).unwrap();
        assert!(rest.is_empty());
        on_disk.into()
    }

    fn rated() -> EventOf4<'static> {
        EventOf4 {
            user: 1,
            item: 2,
            kind: EventKind::Click,
            time_ms: 3,
            quantity: 1.0,
            price: None,
            rating: None,
            event_id: "e",
            basket_id: "",
            session_id: "",
            recommendation_id: "",
            channel: "web",
        }
    }

    #[test]
    fn items_of_older_logs_are_read() {
        let before = || ItemOf1 {
            title: "Green tea".into(),
            categories: vec!["tea".into()],
            brand: String::new(),
            price: Some(2.5),
            tags: Vec::new(),
            available: false,
            attributes: BTreeMap::new(),
        };

        // The second kind of record, an item with idx 3, as the first format wrote it.
        let bytes = postcard::to_allocvec(&(1u8, 3u32, before())).unwrap();
        let Record::Item(3, item) = read(&bytes) else { panic!("no item") };
        assert_eq!((item.title.as_str(), item.available), ("Green tea", false));

        // The fourth kind, as the formats after it did.
        let validity = Validity { from_ms: Some(7), until_ms: None };
        let bytes = postcard::to_allocvec(&(3u8, 3u32, before(), validity)).unwrap();
        let Record::Item(3, item) = read(&bytes) else { panic!("no item") };
        assert_eq!((item.price, item.validity), (Some(2.5), validity));
    }

    #[test]
    fn exposures_of_older_logs_are_read() {
        let before = ExposureOf5 {
            user: Some(1),
            recommendation_id: 2,
            time_ms: 3,
            generation: 4,
            placement: "home".into(),
            variant: "".into(),
            items: vec![5, 6],
            sources: vec![1, 2],
            propensities: Vec::new(),
        };
        let bytes = postcard::to_allocvec(&OnDisk::ExposureOf5(before)).unwrap();
        let Record::Exposure(exposure) = read(&bytes) else { panic!("no exposure") };
        assert_eq!((exposure.user, exposure.items.as_slice()), (Some(1), &[5, 6][..]));
        assert_eq!((exposure.session, exposure.teams.len()), (0, 0));
    }

    #[test]
    fn a_review_is_read_as_it_was_written() {
        let mut event = StoredEvent {
            review: "Lovely",
            sentiment: Some(0.5),
            dwell_ms: Some(7),
            reason: "none",
            ..rated().into()
        };
        for has_review in [true, false] {
            if !has_review {
                (event.review, event.sentiment) = ("", None);
            }
            let record = Record::Event(event);
            let on_disk = OnDisk::from(&record);
            assert_eq!(matches!(on_disk, OnDisk::Review(..)), has_review);
            assert_eq!(read(&postcard::to_allocvec(&on_disk).unwrap()), record);
        }
    }

    #[test]
    fn events_of_older_logs_are_read() {
        let bytes = postcard::to_allocvec(&OnDisk::EventOf4(rated())).unwrap();
        let Record::Event(event) = read(&bytes) else { panic!("no event") };
        assert_eq!((event.user, event.item, event.channel), (1, 2, "web"));
        assert_eq!((event.dwell_ms, event.reason), (None, ""));
    }
}
