//! Messages in proto3 JSON: the methods of the protocol by their paths, and conversions between JSON
//! and the wire by the protocol's own descriptors. No method and no message is named here.
//!
//! Answers hold every field, also those with default values; 64-bit integers are strings, as proto3
//! JSON has them (<https://protobuf.dev/programming-guides/json/>). Requests may use the names of
//! JSON (`userId`) or of the protocol (`user_id`).

mod shape;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Response};
use http_body_util::{BodyExt, Full};
use prost::{Message, Name};
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use tonic::Status;
use tonic::body::Body;

use self::writer::Writer;
use crate::api::wire::{codec, pb, status};
use crate::domain::quote::clipped;
use crate::domain::{Violation, limits};

/// The type of a message in JSON.
pub const JSON: &str = "application/json";
/// How the paths of methods in JSON begin: `/v1/{service}/{method}`.
pub const PREFIX: &str = "/v1/";
/// Maximum length of the words about a field that is refused, which may repeat what was sent.
const MAX_WORDS: usize = 300;

/// Every method of the protocol.
#[derive(Debug)]
pub struct Methods {
    pool: DescriptorPool,
    by_path: BTreeMap<String, Arc<Method>>,
    writer: Arc<Writer>,
}

/// A method.
#[derive(Debug)]
pub struct Method {
    /// Its path in gRPC.
    pub path: PathAndQuery,
    /// Whether it takes or gives a stream of messages: it cannot be called in JSON.
    pub is_stream: bool,
    input: MessageDescriptor,
    /// The place of its answer in the writer.
    answer: usize,
}

impl Methods {
    /// The methods of the protocol.
    ///
    /// # Errors
    /// Where the descriptors that the build made cannot be read.
    pub fn read() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let pool = DescriptorPool::decode(pb::DESCRIPTORS)?;
        let mut by_path = BTreeMap::new();
        let mut writer = Writer::default();
        for service in pool.services() {
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let known = Method {
                    path: PathAndQuery::try_from(path)?,
                    is_stream: method.is_client_streaming() || method.is_server_streaming(),
                    input: method.input(),
                    answer: writer.plan(&method.output()),
                };
                let path = format!("{PREFIX}{}/{}", service.name(), method.name());
                by_path.insert(path, Arc::new(known));
            }
        }
        Ok(Self { pool, by_path, writer: Arc::new(writer) })
    }

    /// The method of a path as `/v1/EventService/WriteEvents`.
    pub fn at(&self, path: &str) -> Option<&Arc<Method>> {
        self.by_path.get(path)
    }

    /// A message of this name in the protocol, from JSON.
    ///
    /// # Errors
    /// The path of the field that does not fit.
    pub fn message<M: Message + Name + Default>(&self, json: &[u8]) -> Result<M, Violation> {
        let unknown = || Violation::new(M::NAME, "is no message of the protocol");
        let descriptor = self.pool.get_message_by_name(&M::full_name()).ok_or_else(unknown)?;
        let message = read(descriptor, json)?;
        message.transcode_to().map_err(|error| Violation::new(M::NAME, error.to_string()))
    }

    /// A message as JSON, without fields of default values.
    ///
    /// # Errors
    /// Where it is none of the protocol.
    pub fn json<M: Message + Name>(&self, message: &M) -> Result<serde_json::Value, Violation> {
        let refused = |error: String| Violation::new(M::NAME, error);
        let descriptor = self.pool.get_message_by_name(&M::full_name());
        let descriptor =
            descriptor.ok_or_else(|| refused("is no message of the protocol".to_owned()))?;
        let message = DynamicMessage::decode(descriptor, &message.encode_to_vec()[..])
            .map_err(|error| refused(error.to_string()))?;
        let options = SerializeOptions::new().use_proto_field_name(true);
        let json = message.serialize_with_options(serde_json::value::Serializer, &options);
        json.map_err(|error| refused(error.to_string()))
    }

    /// A call of a method.
    pub fn call(&self, method: &Arc<Method>) -> JsonCall {
        JsonCall { method: method.clone(), writer: self.writer.clone() }
    }

    /// All files, messages and services.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }
}

/// A request in JSON; an extension of it.
#[derive(Debug, Clone)]
pub struct JsonCall {
    method: Arc<Method>,
    writer: Arc<Writer>,
}

impl JsonCall {
    /// A request as it travels in gRPC. An empty one has no fields.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with the path of the field that does not fit.
    pub fn request(&self, json: &[u8]) -> Result<Bytes, Status> {
        let json = if json.is_empty() { b"{}" } else { json };
        let message = read(self.method.input.clone(), json)
            .map_err(|violation| status::from_error(violation.into()))?;
        Ok(codec::frame(&message).into())
    }

    /// An answer's message in JSON.
    ///
    /// # Errors
    /// INTERNAL where its bytes are not those of the method's answer.
    pub fn answer(&self, message: &[u8]) -> Result<Vec<u8>, Status> {
        self.writer.write(self.method.answer, message).map_err(|error| {
            tracing::error!(error, "an answer cannot be written as JSON");
            Status::internal("the answer cannot be written as JSON")
        })
    }
}

/// A message from JSON.
fn read(descriptor: MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, Violation> {
    // Before anything of it is kept: its entries are counted.
    shape::check(descriptor.name(), json)?;

    let mut track = serde_path_to_error::Track::new();
    let mut parser = serde_json::Deserializer::from_slice(json);
    let tracked = serde_path_to_error::Deserializer::new(&mut parser, &mut track);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let read = DynamicMessage::deserialize_with_options(descriptor, tracked, &options);
    let message = read.map_err(|error| {
        let path = track.path().to_string();
        let field = if path == "." { "request".to_owned() } else { path };
        refused(&field, &error)
    })?;

    parser.end().map_err(|error| refused("request", &error))?;
    Ok(message)
}

/// The head and the message of an answer of gRPC.
///
/// # Errors
/// The status of an answer that failed after its headers.
pub async fn collected(answer: Response<Body>) -> Result<(Parts, Bytes), Status> {
    let (parts, body) = answer.into_parts();
    let collected = body.collect().await?;
    let status = collected.trailers().and_then(Status::from_header_map);
    if let Some(failed) = status.filter(|status| status.code() != tonic::Code::Ok) {
        return Err(failed);
    }

    let bytes = collected.to_bytes();
    let message = bytes.slice(codec::PREFIX_BYTES.min(bytes.len())..);
    Ok((parts, message))
}

/// The answer with this head, and JSON in place of its message.
pub fn answered(mut parts: Parts, json: Vec<u8>) -> Response<Body> {
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(json.len()));
    Response::from_parts(parts, Body::new(Full::from(json)))
}

/// What is wrong with a field, without repeating much of what was sent.
fn refused(field: &str, error: &serde_json::Error) -> Violation {
    let field = clipped(field.to_owned(), limits::MAX_ID_BYTES);
    Violation::new(field, clipped(error.to_string(), MAX_WORDS))
}
