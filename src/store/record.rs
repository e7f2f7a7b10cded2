//! Records and blocks as bytes: encoding and decoding side by side.
//!
//! A block's payload is a preamble (the names that its records use for the
//! first time, in idx order) and then its records, each in postcard's format.
//! Because names are defined once, a replay resolves no strings.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{EventKind, Item, ItemIdx, User, UserIdx, Validity};

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record<'a> {
    /// A user's event.
    #[serde(borrow)]
    Event(StoredEvent<'a>),
    /// An item as it was written before items had a validity; read only.
    ItemBefore(ItemIdx, ItemBefore),
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
}

/// The fields of an item before it had a validity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemBefore {
    title: String,
    categories: Vec<String>,
    brand: String,
    price: Option<f64>,
    tags: Vec<String>,
    available: bool,
    attributes: BTreeMap<String, String>,
}

impl From<ItemBefore> for Item {
    fn from(before: ItemBefore) -> Self {
        let ItemBefore { title, categories, brand, price, tags, available, attributes } = before;
        let validity = Validity::default();
        Item { title, categories, brand, price, tags, available, attributes, validity }
    }
}

impl Record<'_> {
    /// The user of the record, if it has one and is not their erasure.
    pub fn user(&self) -> Option<UserIdx> {
        match self {
            Record::Event(event) => Some(event.user),
            Record::User(user, _) => Some(*user),
            _ => None,
        }
    }

    /// The user and the item of the record, if it has them.
    pub fn names(&self) -> (Option<UserIdx>, Option<ItemIdx>) {
        match self {
            Record::Event(event) => (Some(event.user), Some(event.item)),
            Record::User(user, _) | Record::Erased(user, _) => (Some(*user), None),
            Record::Item(item, _)
            | Record::ItemBefore(item, _)
            | Record::ItemDeleted(item)
            | Record::ItemAvailable(item, _) => (None, Some(*item)),
            Record::Imported(_) | Record::Gone => (None, None),
        }
    }
}

/// An event with dense ids, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
}

/// An entry of a replay, in order.
#[derive(Debug, PartialEq)]
pub enum Entry<'a> {
    /// The name of the next user idx; empty: a user who was erased.
    User(&'a str),
    /// The name of the next item idx.
    Item(&'a str),
    /// The record at this offset.
    Record(u64, Record<'a>),
}

/// Names that a block defines.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Preamble<'a> {
    #[serde(borrow)]
    users: Vec<&'a str>,
    #[serde(borrow)]
    items: Vec<&'a str>,
}

/// Collects records into a block's payload. One batch goes into one block, so that it is on disk
/// completely or not at all.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    users: Vec<String>,
    items: Vec<String>,
    records: Vec<u8>,
    count: u32,
}

impl BlockBuilder {
    /// Defines the next user idx.
    pub fn define_user(&mut self, name: &str) {
        self.users.push(name.to_owned());
    }

    /// Defines the next item idx.
    pub fn define_item(&mut self, name: &str) {
        self.items.push(name.to_owned());
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record<'_>) {
        // Extending a Vec cannot fail, and postcard supports every field type here.
        self.records = postcard::to_extend(record, std::mem::take(&mut self.records))
            .unwrap_or_else(|e| unreachable!("postcard into a Vec: {e}"));
        self.count += 1;
    }

    /// Number of records so far.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether no record was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of users and items it defines.
    pub fn defined(&self) -> (u64, u64) {
        (self.users.len() as u64, self.items.len() as u64)
    }

    /// Bytes of records so far, before compression.
    pub fn bytes(&self) -> usize {
        self.records.len()
    }

    /// The payload, before compression.
    pub fn payload(&self) -> Vec<u8> {
        let preamble = Preamble {
            users: self.users.iter().map(String::as_str).collect(),
            items: self.items.iter().map(String::as_str).collect(),
        };
        let mut payload = postcard::to_extend(&preamble, Vec::new())
            .unwrap_or_else(|e| unreachable!("postcard into a Vec: {e}"));
        payload.extend_from_slice(&self.records);
        payload
    }
}

/// Decodes a payload of `count` records that begin at `first_offset`.
///
/// # Errors
/// What is malformed.
pub fn decode(
    payload: &[u8],
    first_offset: u64,
    count: u32,
    visit: &mut dyn FnMut(Entry<'_>),
) -> Result<(), String> {
    let (preamble, mut rest) = postcard::take_from_bytes::<Preamble<'_>>(payload)
        .map_err(|e| format!("its names do not decode: {e}"))?;
    for user in preamble.users {
        visit(Entry::User(user));
    }

    for item in preamble.items {
        visit(Entry::Item(item));
    }

    for i in 0..count {
        let (record, left) = postcard::take_from_bytes::<Record<'_>>(rest)
            .map_err(|e| format!("record {i} of {count} does not decode: {e}"))?;
        visit(Entry::Record(first_offset + u64::from(i), record));
        rest = left;
    }

    if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes follow its records", rest.len())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> BlockBuilder {
        let mut block = BlockBuilder::default();
        block.define_user("anna");
        block.define_item("茶");
        let event = StoredEvent {
            user: 0,
            item: 0,
            kind: EventKind::Purchase,
            time_ms: 1_700_000_000_000,
            quantity: 2.0,
            price: Some(2.55),
            rating: None,
            event_id: "e1",
            basket_id: "b",
            session_id: "",
            recommendation_id: "",
            channel: "web",
        };

        block.push(&Record::Event(event));
        let item = Item { title: "Green tea".into(), ..Item::default() };
        block.push(&Record::Item(0, Cow::Owned(item)));
        block.push(&Record::Imported(7));
        block.push(&Record::User(0, Cow::Owned(User::default())));
        block.push(&Record::Erased(0, 1_700_000_000_001));
        block.push(&Record::Gone);
        block.push(&Record::ItemDeleted(0));
        block.push(&Record::ItemAvailable(0, false));
        block
    }

    #[test]
    fn what_goes_in_comes_out() {
        let block = sample();
        let mut seen = Vec::new();
        decode(&block.payload(), 40, block.len(), &mut |e| seen.push(format!("{e:?}"))).unwrap();
        assert_eq!(seen[0], "User(\"anna\")");
        assert_eq!(seen[1], "Item(\"茶\")");
        assert!(seen[2].starts_with("Record(40, Event(StoredEvent { user: 0"), "{}", seen[2]);
        assert!(seen[2].contains("price: Some(2.55)"));
        assert!(seen[3].contains("Green tea"));
        assert_eq!(seen[4], "Record(42, Imported(7))");
        assert_eq!(seen[6], "Record(44, Erased(0, 1700000000001))");
        assert_eq!(seen[7], "Record(45, Gone)");
        assert_eq!(seen[8], "Record(46, ItemDeleted(0))");
        assert_eq!(seen[9], "Record(47, ItemAvailable(0, false))");
    }

    #[test]
    fn items_of_older_logs_are_read() {
        let before = ItemBefore {
            title: "Green tea".into(),
            categories: vec!["tea".into()],
            brand: String::new(),
            price: Some(2.5),
            tags: Vec::new(),
            available: false,
            attributes: BTreeMap::new(),
        };

        // The second kind of record, an item with idx 3, as the first format wrote it.
        let bytes = postcard::to_allocvec(&(1u8, 3u32, &before)).unwrap();
        let (record, rest) = postcard::take_from_bytes::<Record<'_>>(&bytes).unwrap();
        assert_eq!((record, rest.len()), (Record::ItemBefore(3, before.clone()), 0));
        let item = Item::from(before);
        assert_eq!((item.title.as_str(), item.available), ("Green tea", false));
    }

    #[test]
    fn a_payload_cut_anywhere_is_refused() {
        let block = sample();
        let payload = block.payload();
        for len in 0..payload.len() {
            assert!(decode(&payload[..len], 0, block.len(), &mut |_| {}).is_err(), "cut at {len}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0u32..50) {
            let _ = decode(&bytes, 0, count, &mut |_| {});
        }
    }
}
