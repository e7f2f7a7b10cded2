//! Blocks of records as bytes: encoding and decoding side by side.
//!
//! A block's payload is a preamble (the names that its records use for the
//! first time, in idx order) and then its records, each in postcard's format.
//! Because names are defined once, a replay resolves no strings.

use serde::{Deserialize, Serialize};

use super::on_disk::OnDisk;
use super::record::Record;

/// An entry of a replay, in order.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "entries pass one by one, and most are records")]
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
        let on_disk = OnDisk::from(record);
        self.records = postcard::to_extend(&on_disk, std::mem::take(&mut self.records))
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
        let (on_disk, left) = postcard::take_from_bytes::<OnDisk<'_>>(rest)
            .map_err(|e| format!("record {i} of {count} does not decode: {e}"))?;
        visit(Entry::Record(first_offset + u64::from(i), on_disk.into()));
        rest = left;
    }

    if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes follow its records", rest.len())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::borrow::Cow;

    use super::*;
    use crate::domain::{EventKind, HideScope, Item, User};
    use crate::store::{Decision, Exposure, StoredEvent};

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
            dwell_ms: None,
            scope: HideScope::Item,
            reason: "",
            review: "",
            sentiment: None,
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
        block.push(&Record::Exposure(Box::new(exposure())));
        let rules = Decision { kind: "rules", version: 3, time_ms: 1, note: "", body: "{}" };
        block.push(&Record::Decision(rules));
        block
    }

    fn exposure() -> Exposure<'static> {
        Exposure {
            user: Some(0),
            recommendation_id: 7 << 100,
            time_ms: 1_700_000_000_002,
            generation: 4,
            placement: "home".into(),
            variant: "".into(),
            items: vec![0],
            sources: vec![7],
            session: 0,
            teams: Vec::new(),
            propensities: vec![0.5],
        }
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
        assert_eq!(seen[10], format!("Record(48, Exposure({:?}))", exposure()));
        assert!(seen[11].starts_with("Record(49, Decision(Decision { kind: \"rules\", version: 3"));
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
