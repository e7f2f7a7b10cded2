//! Writes answers in proto3 JSON straight from their bytes. A message that is decoded first, by
//! descriptors, costs as much as a whole call of gRPC; the tests hold what is written here against
//! what prost-reflect writes.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::Serialize;

/// Messages that JSON writes in a form of their own, and that answers hold.
const TIMESTAMP: &str = "google.protobuf.Timestamp";
const DURATION: &str = "google.protobuf.Duration";

/// How messages are written.
#[derive(Debug, Default)]
pub(super) struct Writer {
    messages: Vec<MessagePlan>,
    places: HashMap<String, usize>,
}

/// The fields of a message, in their order.
type MessagePlan = Vec<FieldPlan>;

/// How a field is written.
#[derive(Debug, Clone)]
struct FieldPlan {
    number: u32,
    /// Its name in JSON, quoted, with the colon.
    name: String,
    form: Form,
    value: ValuePlan,
}

#[derive(Debug, Clone)]
enum Form {
    /// One value, with its default where it is absent.
    Single,
    /// One value, or nothing.
    Optional,
    List,
    /// Entries of these keys.
    Map(ValuePlan),
}

#[derive(Debug, Clone)]
enum ValuePlan {
    Scalar(Kind),
    /// The names of the numbers of an enumeration.
    Enum(Vec<(i32, String)>),
    /// A message, by its place.
    Message(usize),
    Timestamp,
    Duration,
}

/// A value on the wire.
#[derive(Debug, Clone, Copy)]
enum Raw<'a> {
    /// Of a varint, or of 32 or 64 bits.
    Number(u64),
    Bytes(&'a [u8]),
}

type Result<T> = std::result::Result<T, String>;

impl Writer {
    /// Plans how a message, and all that it holds, are written; returns its place.
    pub(super) fn plan(&mut self, message: &MessageDescriptor) -> usize {
        if let Some(&place) = self.places.get(message.full_name()) {
            return place;
        }
        let place = self.messages.len();
        self.places.insert(message.full_name().to_owned(), place);
        self.messages.push(Vec::new());
        let fields = message.fields().map(|field| self.field(&field)).collect();
        self.messages[place] = fields;
        place
    }

    fn field(&mut self, field: &FieldDescriptor) -> FieldPlan {
        let mut kind = field.kind();
        let form = match &kind {
            Kind::Message(entry) if entry.is_map_entry() => {
                let key = self.value(&entry.map_entry_key_field().kind());
                kind = entry.map_entry_value_field().kind();
                Form::Map(key)
            }
            _ if field.is_list() => Form::List,
            _ if field.supports_presence() => Form::Optional,
            _ => Form::Single,
        };
        let name = format!("{:?}:", field.json_name());
        FieldPlan { number: field.number(), name, form, value: self.value(&kind) }
    }

    fn value(&mut self, kind: &Kind) -> ValuePlan {
        match kind {
            Kind::Message(message) if message.full_name() == TIMESTAMP => ValuePlan::Timestamp,
            Kind::Message(message) if message.full_name() == DURATION => ValuePlan::Duration,
            Kind::Message(message) => ValuePlan::Message(self.plan(message)),
            Kind::Enum(kind) => {
                let names = kind.values().map(|value| (value.number(), value.name().to_owned()));
                ValuePlan::Enum(names.collect())
            }
            scalar => ValuePlan::Scalar(scalar.clone()),
        }
    }

    /// Writes the message at a place.
    ///
    /// # Errors
    /// Where the bytes are no such message.
    pub(super) fn write(&self, place: usize, message: &[u8]) -> Result<Vec<u8>> {
        // Names and quotes take the most room.
        let mut json = Vec::with_capacity(4 * message.len() + 64);
        self.message(place, message, &mut Vec::new(), &mut json)?;
        Ok(json)
    }

    /// Writes a message; `read` is room for the values of all messages around it.
    fn message<'a>(
        &self,
        place: usize,
        mut wire: &'a [u8],
        read: &mut Vec<(u32, Raw<'a>)>,
        json: &mut Vec<u8>,
    ) -> Result<()> {
        let begin = read.len();
        while wire.has_remaining() {
            let value = next(&mut wire)?;
            read.push(value);
        }
        let end = read.len();

        json.push(b'{');
        let mut is_first = true;
        for field in &self.messages[place] {
            let is_here = |at: &usize| read[*at].0 == field.number;
            if matches!(field.form, Form::Optional) && !(begin..end).any(|at| is_here(&at)) {
                continue;
            }
            separate(&mut is_first, json);
            json.extend_from_slice(field.name.as_bytes());
            self.field_values(field, (begin, end), read, json)?;
        }
        json.push(b'}');
        read.truncate(begin);
        Ok(())
    }

    /// Writes the values of a field, which are those of its number in a range of what was read.
    fn field_values<'a>(
        &self,
        field: &FieldPlan,
        (begin, end): (usize, usize),
        read: &mut Vec<(u32, Raw<'a>)>,
        json: &mut Vec<u8>,
    ) -> Result<()> {
        let (open, close) = match &field.form {
            Form::Single | Form::Optional => {
                let of_field = |at: &usize| read[*at].0 == field.number;
                let last = (begin..end).rev().find(of_field).map(|at| read[at].1);
                return self.single(&field.value, last, read, json);
            }
            Form::List => (b'[', b']'),
            Form::Map(_) => (b'{', b'}'),
        };

        json.push(open);
        let mut is_first = true;
        for at in begin..end {
            let (number, raw) = read[at];
            if number != field.number {
                continue;
            }
            match (&field.form, raw) {
                (Form::Map(key), Raw::Bytes(entry)) => {
                    separate(&mut is_first, json);
                    self.entry(key, &field.value, entry, read, json)?;
                }
                (_, Raw::Bytes(packed)) if field.value.is_packable() => {
                    let mut rest = packed;
                    while rest.has_remaining() {
                        separate(&mut is_first, json);
                        let one = field.value.unpack(&mut rest)?;
                        self.single(&field.value, Some(one), read, json)?;
                    }
                }
                (_, raw) => {
                    separate(&mut is_first, json);
                    self.single(&field.value, Some(raw), read, json)?;
                }
            }
        }
        json.push(close);
        Ok(())
    }

    /// Writes an entry of a map.
    fn entry<'a>(
        &self,
        key: &ValuePlan,
        value: &ValuePlan,
        mut entry: &'a [u8],
        read: &mut Vec<(u32, Raw<'a>)>,
        json: &mut Vec<u8>,
    ) -> Result<()> {
        let mut parts = [None, None];
        while entry.has_remaining() {
            let (number, raw) = next(&mut entry)?;
            if let Some(part) = parts.get_mut(number.wrapping_sub(1) as usize) {
                *part = Some(raw);
            }
        }

        let begin = json.len();
        self.single(key, parts[0], read, json)?;
        // Keys are text in JSON, whatever they are.
        if json.get(begin) != Some(&b'"') {
            json.insert(begin, b'"');
            json.push(b'"');
        }
        json.push(b':');
        self.single(value, parts[1], read, json)
    }

    /// Writes one value; the default where there is none.
    fn single<'a>(
        &self,
        value: &ValuePlan,
        raw: Option<Raw<'a>>,
        read: &mut Vec<(u32, Raw<'a>)>,
        json: &mut Vec<u8>,
    ) -> Result<()> {
        let number = match raw {
            Some(Raw::Number(number)) => number,
            _ => 0,
        };
        let bytes = match raw {
            Some(Raw::Bytes(bytes)) => bytes,
            _ => &[],
        };

        match value {
            ValuePlan::Message(place) => return self.message(*place, bytes, read, json),
            ValuePlan::Timestamp => {
                put(&decoded::<prost_types::Timestamp>(bytes)?.to_string(), json);
            }
            ValuePlan::Duration => {
                put(&decoded::<prost_types::Duration>(bytes)?.to_string(), json);
            }
            ValuePlan::Enum(names) => {
                let number = number as i32;
                match names.iter().find(|(known, _)| *known == number) {
                    Some((_, name)) => put(name, json),
                    None => put(&number, json),
                }
            }
            ValuePlan::Scalar(kind) => scalar(kind, number, bytes, json),
        }
        Ok(())
    }
}

impl ValuePlan {
    /// Whether several values may come in one piece.
    fn is_packable(&self) -> bool {
        match self {
            ValuePlan::Scalar(kind) => !matches!(kind, Kind::String | Kind::Bytes),
            ValuePlan::Enum(_) => true,
            _ => false,
        }
    }

    /// Takes the next value out of such a piece.
    fn unpack<'a>(&self, rest: &mut &'a [u8]) -> Result<Raw<'a>> {
        let wire_type = match self {
            ValuePlan::Scalar(Kind::Double | Kind::Fixed64 | Kind::Sfixed64) => {
                WireType::SixtyFourBit
            }
            ValuePlan::Scalar(Kind::Float | Kind::Fixed32 | Kind::Sfixed32) => {
                WireType::ThirtyTwoBit
            }
            _ => WireType::Varint,
        };
        take(wire_type, rest)
    }
}

/// The next field: its number and its value.
fn next<'a>(wire: &mut &'a [u8]) -> Result<(u32, Raw<'a>)> {
    let (number, wire_type) = decode_key(wire).map_err(|error| error.to_string())?;
    Ok((number, take(wire_type, wire)?))
}

fn take<'a>(wire_type: WireType, wire: &mut &'a [u8]) -> Result<Raw<'a>> {
    let varint = |wire: &mut &'a [u8]| decode_varint(wire).map_err(|error| error.to_string());
    let cut_off = || "a value is cut off".to_owned();
    Ok(match wire_type {
        WireType::Varint => Raw::Number(varint(wire)?),
        WireType::SixtyFourBit => Raw::Number(wire.try_get_u64_le().map_err(|_| cut_off())?),
        WireType::ThirtyTwoBit => {
            Raw::Number(u64::from(wire.try_get_u32_le().map_err(|_| cut_off())?))
        }
        WireType::LengthDelimited => {
            let length = usize::try_from(varint(wire)?).unwrap_or(usize::MAX);
            let (bytes, rest) = wire.split_at_checked(length).ok_or_else(cut_off)?;
            *wire = rest;
            Raw::Bytes(bytes)
        }
        WireType::StartGroup | WireType::EndGroup => return Err("groups are not known".to_owned()),
    })
}

fn decoded<M: Message + Default>(bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|error| error.to_string())
}

/// Writes a comma, but before the first value.
fn separate(is_first: &mut bool, json: &mut Vec<u8>) {
    if !std::mem::take(is_first) {
        json.push(b',');
    }
}

/// Writes a value that always has a form in JSON.
fn put<T: Serialize + ?Sized>(value: &T, json: &mut Vec<u8>) {
    let _ = serde_json::to_writer(json, value);
}

/// Writes a scalar, which is in `number` or in `bytes`.
fn scalar(kind: &Kind, number: u64, bytes: &[u8], json: &mut Vec<u8>) {
    let zigzag = |number: u64| (number >> 1) as i64 ^ -((number & 1) as i64);
    match kind {
        Kind::Double => float(f64::from_bits(number), json),
        Kind::Float => {
            let value = f32::from_bits(number as u32);
            if value.is_finite() { put(&value, json) } else { float(value.into(), json) }
        }
        Kind::Int32 | Kind::Sfixed32 => put(&(number as i32), json),
        Kind::Sint32 => put(&(zigzag(number) as i32), json),
        Kind::Uint32 | Kind::Fixed32 => put(&(number as u32), json),
        Kind::Int64 | Kind::Sfixed64 => put(&(number as i64).to_string(), json),
        Kind::Sint64 => put(&zigzag(number).to_string(), json),
        Kind::Uint64 | Kind::Fixed64 => put(&number.to_string(), json),
        Kind::Bool => put(&(number != 0), json),
        Kind::String => put(&String::from_utf8_lossy(bytes), json),
        Kind::Bytes => put(&BASE64_STANDARD.encode(bytes), json),
        // Planned as values of their own.
        Kind::Message(_) | Kind::Enum(_) => put(&(), json),
    }
}

fn float(value: f64, json: &mut Vec<u8>) {
    if value.is_finite() {
        put(&value, json);
    } else if value.is_nan() {
        put("NaN", json);
    } else {
        put(if value > 0.0 { "Infinity" } else { "-Infinity" }, json);
    }
}
