//! Requests in JSON, and answers against those of prost-reflect.

use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MapKey, MethodDescriptor, SerializeOptions, Value};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::api::wire::codec::PREFIX_BYTES;

fn call(path: &str) -> JsonCall {
    let methods = Methods::read().unwrap();
    methods.call(methods.at(path).unwrap())
}

fn refusal(path: &str, json: &str) -> String {
    read(call(path).method.input.clone(), json.as_bytes()).unwrap_err().to_string()
}

#[test]
fn every_method_has_its_path() {
    let methods = Methods::read().unwrap();
    let known = crate::api::access::methods::METHODS;
    assert_eq!(methods.by_path.len(), known.len());
    for method in known {
        let found = methods.at(&format!("/v1/{}", method.name)).unwrap();
        assert_eq!(found.path.as_str(), format!("/qianmian.v1.{}", method.name));
    }
    assert!(methods.at("/v1/EventService/StreamEvents").unwrap().is_stream);
    assert!(!methods.at("/v1/EventService/WriteEvents").unwrap().is_stream);
}

#[test]
fn both_kinds_of_names_are_read() {
    let call = call("/v1/EventService/WriteEvents");
    let json = r#"{"events": [{"userId": "a", "item_id": "b", "kind": "EVENT_KIND_VIEW",
        "time": "2024-05-06T07:08:09.5Z", "price": 1e2}]}"#;
    let frame = call.request(json.as_bytes()).unwrap();
    let read = pb::WriteEventsRequest::decode(&frame[PREFIX_BYTES..]).unwrap();
    let event = &read.events[0];
    assert_eq!((event.user_id.as_str(), event.item_id.as_str()), ("a", "b"));
    assert_eq!((event.kind(), event.price), (pb::EventKind::View, Some(100.0)));
    assert_eq!(event.time.unwrap().nanos, 500_000_000);
    assert_eq!(call.request(b"").unwrap(), call.request(b"{}").unwrap());
}

#[test]
fn what_does_not_fit_is_named_by_its_path() {
    let write = "/v1/EventService/WriteEvents";
    for (json, field, words) in [
        (r#"{"events": [{"userId": 7}]}"#, "events[0].userId", "expected a string"),
        (r#"{"events": [{}, {"kind": "BUY"}]}"#, "events[1].kind", "'BUY'"),
        (r#"{"events": [{"time": "now"}]}"#, "events[0].time", ""),
        (r#"{"events": {}}"#, "events", "expected a list"),
        (r#"{"events": [{"shop": 1}]}"#, "events[0].shop", "is not a field of Event"),
        (r#"{"event": []}"#, "event", "is not a field of WriteEventsRequest"),
        (r#"{"events": [}"#, "events[0]", "line 1 column 13"),
        (r#"{} {}"#, "request", "trailing characters"),
        (r#"[]"#, "request", "expected a map"),
        ("\u{0}", "request", "line 1"),
    ] {
        let said = refusal(write, json);
        assert!(said.starts_with(&format!("{field}: ")) && said.contains(words), "{json}: {said}");
    }

    let recommend = "/v1/RecommendationService/Recommend";
    for value in ["99999999999", "1.5", "\"ten\"", "true", "[1]"] {
        let said = refusal(recommend, &format!(r#"{{"limit": {value}}}"#));
        assert!(said.starts_with("limit: "), "{said}");
    }

    let long = format!(r#"{{"limit": "{}"}}"#, "9".repeat(1_000_000));
    assert!(refusal(recommend, &long).len() < 1_000);
    let named = format!(r#"{{"{}": 1}}"#, "n".repeat(1_000_000));
    assert!(refusal(recommend, &named).len() < 1_000);
}

/// A value of a kind: extreme, odd, or ordinary.
fn drawn(kind: &Kind, deep: usize, rng: &mut StdRng) -> Value {
    let bits: u64 = [0, 1, u64::MAX, rng.random()][rng.random_range(0..4)];
    let text = ["", "a", "茶 \"\\\n\u{1}", "item-7"][rng.random_range(0..4)].to_owned();
    match kind {
        Kind::Double => {
            Value::F64([0.0, -1.5, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE][(bits % 5) as usize])
        }
        Kind::Float => Value::F32([0.0, 0.1, f32::NEG_INFINITY][(bits % 3) as usize]),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(bits as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(bits as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(bits as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(bits),
        Kind::Bool => Value::Bool(bits & 1 == 1),
        Kind::String => Value::String(text),
        Kind::Bytes => Value::Bytes(text.into_bytes().into()),
        Kind::Enum(kind) => {
            let values: Vec<i32> = kind.values().map(|value| value.number()).collect();
            Value::EnumNumber(values[rng.random_range(0..values.len())])
        }
        Kind::Message(message) => Value::Message(random(message, deep + 1, rng)),
    }
}

fn random(message: &MessageDescriptor, deep: usize, rng: &mut StdRng) -> DynamicMessage {
    let mut made = DynamicMessage::new(message.clone());
    if ["google.protobuf.Timestamp", "google.protobuf.Duration"].contains(&message.full_name()) {
        let nanos = [0, 5, 120_000_000, 999_999_999][rng.random_range(0..4)];
        made.set_field_by_name("seconds", Value::I64(rng.random_range(0..4_000_000_000)));
        made.set_field_by_name("nanos", Value::I32(nanos));
        return made;
    }

    for field in message.fields().filter(|_| deep < 5) {
        let kind = field.kind();
        let count = rng.random_range(0..3);
        let value = match &kind {
            _ if count == 0 => continue,
            Kind::Message(entry) if entry.is_map_entry() => {
                let value = entry.map_entry_value_field().kind();
                let pairs =
                    (0..count).map(|n| (MapKey::String(format!("k{n}")), drawn(&value, deep, rng)));
                Value::Map(pairs.collect())
            }
            kind if field.is_list() => {
                Value::List((0..count).map(|_| drawn(kind, deep, rng)).collect())
            }
            kind => drawn(kind, deep, rng),
        };
        made.set_field(&field, value);
    }
    made
}

#[test]
fn every_answer_is_written_as_the_library_writes_it() {
    let methods = Methods::read().unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let options = SerializeOptions::new().skip_default_fields(false);
    let all = methods.pool().services().flat_map(|service| {
        let name = service.name().to_owned();
        let path = move |method: &MethodDescriptor| format!("/v1/{name}/{}", method.name());
        service.methods().map(move |method| (path(&method), method)).collect::<Vec<_>>()
    });
    for (path, described) in all {
        let method = methods.at(&path).unwrap();
        for _ in 0..50 {
            let message = random(&described.output(), 0, &mut rng);
            let written = methods.writer.write(method.answer, &message.encode_to_vec()).unwrap();
            let mut expected = serde_json::Serializer::new(Vec::new());
            message.serialize_with_options(&mut expected, &options).unwrap();

            let read = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
            assert_eq!(read(&written), read(&expected.into_inner()), "{}", method.path);
        }
    }
}

#[test]
fn an_answer_that_is_cut_off_is_an_error() {
    let methods = Methods::read().unwrap();
    let method = methods.at("/v1/CatalogService/GetItem").unwrap();
    for bytes in [&[0x0a, 0x05, 0x01][..], &[0x0a], &[0x0b], &[0xff; 12]] {
        assert!(methods.writer.write(method.answer, bytes).is_err(), "{bytes:?}");
    }
}
