//! What a message of a topic says.

use prost::Name;

use crate::api::wire::json::Methods;
use crate::api::wire::{convert, entries, events, items, pb, users};
use crate::domain::{Event, Item, User, Violation, limits};

/// The header of a refused message whose value is too large for the topic of such.
pub(super) const LEFT_OUT: &str = "qianmian-value-left-out";

/// What messages of a topic are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Events,
    Items,
    Users,
}

/// A message as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) offset: u64,
    /// When it was sent, in milliseconds since 1970; none where the broker does not say.
    pub(super) time_ms: Option<i64>,
    /// None: it was sent without a key.
    pub(super) key: Option<Vec<u8>>,
    /// None: what the key names is to be gone.
    pub(super) value: Option<Vec<u8>>,
    /// Whether it is a letter that was sent back, whose value was left out.
    pub(super) is_left_out: bool,
}

impl Message {
    /// Its topic and the number of its partition.
    pub(super) fn partition(&self) -> (String, u32) {
        (self.topic.clone(), self.partition)
    }
}

/// What is to change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Event(Event),
    Item(String, Item),
    User(String, User),
    DeleteItem(String),
    Erase(String),
}

/// Reads a message, at the time `now_ms`.
///
/// # Errors
/// The field that breaks a limit, or why the value cannot be read.
pub(super) fn read(message: &Message, methods: &Methods, now_ms: i64) -> Result<Change, Violation> {
    let missing = || Violation::new("key", "is missing: it must be the id");
    let key = std::str::from_utf8(message.key.as_deref().ok_or_else(missing)?);
    let key = key.map_err(|_| Violation::new("key", "must be UTF-8"))?;
    limits::new_id("key", key)?;
    if message.is_left_out {
        return Err(Violation::new(
            "value",
            "was left out of a refused message, which says nothing",
        ));
    }
    if message.value.as_ref().is_some_and(Vec::is_empty) {
        // In protobuf it would be a message without any field, and set all to their defaults.
        return Err(Violation::new("value", "is empty: what is to be gone has no value"));
    }
    let Some(value) = &message.value else {
        return Ok(match message.kind {
            Kind::Events | Kind::Users => Change::Erase(key.to_owned()),
            Kind::Items => Change::DeleteItem(key.to_owned()),
        });
    };

    match message.kind {
        Kind::Events => {
            let mut given: pb::Event = decoded(value, methods)?;
            take_key("user_id", &mut given.user_id, key)?;
            // Its partition may be read long after.
            let time_ms = message.time_ms.filter(|&time_ms| time_ms > 0).unwrap_or(now_ms);
            given.time.get_or_insert_with(|| convert::timestamp(time_ms));
            events::event(given, now_ms).map(Change::Event)
        }
        Kind::Items => {
            let mut given: pb::Item = decoded(value, methods)?;
            take_key("item_id", &mut given.item_id, key)?;
            items::item(given).map(|(id, item)| Change::Item(id, item))
        }
        Kind::Users => {
            let mut given: pb::User = decoded(value, methods)?;
            take_key("user_id", &mut given.user_id, key)?;
            users::user(given).map(|(id, user)| Change::User(id, user))
        }
    }
}

/// A message of the protocol, in JSON or in protobuf, none of whose messages begins with a brace.
fn decoded<M: prost::Message + Name + Default>(
    value: &[u8],
    methods: &Methods,
) -> Result<M, Violation> {
    // Some programs put a byte order mark before a text.
    let text = value.strip_prefix(b"\xef\xbb\xbf").unwrap_or(value);
    if text.trim_ascii_start().first() == Some(&b'{') {
        return methods.message(text).map_err(|violation| match &*violation.field {
            "request" | "?" => Violation::new("value", violation.message),
            _ => violation,
        });
    }

    entries::check(&M::full_name(), value)?;
    M::decode(value).map_err(|error| {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
        Violation::new(
            "value",
            if is_json {
                "must be a JSON object, one for each message".to_owned()
            } else {
                format!("is neither a JSON object nor protobuf: {error}")
            },
        )
    })
}

/// The key is the id, so that messages of one user, or one item, are in order.
fn take_key(field: &str, id: &mut String, key: &str) -> Result<(), Violation> {
    if id.is_empty() {
        key.clone_into(id);
    }
    if id != key {
        let message = format!("must be the {field}, so that messages of one are in order");
        return Err(Violation::new("key", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::domain::EventKind;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn message(kind: Kind, key: &str, value: Option<&[u8]>) -> Message {
        Message {
            kind,
            topic: "shop".into(),
            partition: 0,
            offset: 7,
            time_ms: Some(NOW_MS - 5),
            key: Some(key.into()),
            value: value.map(Into::into),
            is_left_out: false,
        }
    }

    fn reading(kind: Kind, key: &str, value: Option<&[u8]>) -> Result<Change, Violation> {
        read(&message(kind, key, value), &Methods::read().unwrap(), NOW_MS)
    }

    #[test]
    fn an_event_is_read_from_json_and_from_protobuf() {
        let json = br#" {"kind": "EVENT_KIND_VIEW", "item_id": "tea", "event_id": "e"}"#;
        let given = pb::Event {
            kind: pb::EventKind::View.into(),
            item_id: "tea".into(),
            event_id: "e".into(),
            ..Default::default()
        };
        let expected =
            Event { event_id: "e".into(), ..Event::new(EventKind::View, "ada", "tea", NOW_MS - 5) };
        for value in [&json[..], &given.encode_to_vec()] {
            let read = reading(Kind::Events, "ada", Some(value)).unwrap();
            assert_eq!(read, Change::Event(expected.clone()));
        }
    }

    #[test]
    fn a_message_without_a_value_removes_what_its_key_names() {
        let gone = |kind| reading(kind, "a", None).unwrap();
        assert_eq!(gone(Kind::Events), Change::Erase("a".into()));
        assert_eq!(gone(Kind::Users), Change::Erase("a".into()));
        assert_eq!(gone(Kind::Items), Change::DeleteItem("a".into()));
    }

    #[test]
    fn items_and_users_are_read() {
        let item = reading(Kind::Items, "tea", Some(br#"{"title": "Green tea"}"#)).unwrap();
        assert!(matches!(item, Change::Item(id, item) if id == "tea" && item.title == "Green tea"));
        let user = reading(Kind::Users, "ada", Some(br#"{"attributes": {"country": "DE"}}"#));
        assert!(matches!(user.unwrap(), Change::User(id, _) if id == "ada"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_name() {
        let refused = |key: &str, value: &[u8]| {
            reading(Kind::Events, key, Some(value)).unwrap_err().to_string()
        };
        let view = br#"{"kind": "EVENT_KIND_VIEW", "user_id": "ada", "item_id": "tea"}"#;
        assert!(refused("bob", view).contains("key: must be the user_id"));
        assert!(refused("", view).contains("key"));
        assert!(refused("ada", b"\xff\xff").contains("neither a JSON object nor protobuf"));
        assert!(refused("ada", b"[1]").contains("must be a JSON object"));
        assert!(refused("ada", b"{} {}").contains("value: trailing"));
        let mut left_out = message(Kind::Events, "ada", None);
        left_out.is_left_out = true;
        let why = read(&left_out, &Methods::read().unwrap(), NOW_MS).unwrap_err();
        assert!(why.to_string().contains("was left out"));
        let mut without_key = message(Kind::Events, "", None);
        without_key.key = None;
        let why = read(&without_key, &Methods::read().unwrap(), NOW_MS).unwrap_err();
        assert!(why.to_string().contains("key: is missing"));
        for kind in [Kind::Events, Kind::Items, Kind::Users] {
            let empty = reading(kind, "ada", Some(b"")).unwrap_err().to_string();
            assert!(empty.contains("value: is empty"), "{empty}");
        }
        assert!(refused("ada", br#"{"kind": 1}"#).contains("item_id"));
        assert!(refused("ada", br#"{"color": 1}"#).contains("color"));
        let mut not_utf8 = message(Kind::Events, "", None);
        not_utf8.key = Some(vec![0xff]);
        let refused = read(&not_utf8, &Methods::read().unwrap(), NOW_MS).unwrap_err();
        assert!(refused.to_string().contains("UTF-8"));
    }
}
