//! The description of all methods that can be called in JSON, as OpenAPI 3.1
//! (<https://spec.openapis.org/oas/v3.1.0>), made from the protocol's descriptors and comments.

use prost_reflect::prost_types::source_code_info::Location;
use prost_reflect::{
    EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};
use serde_json::{Map, Value, json};

use super::problem::PROBLEM;
use crate::api::access::methods;
use crate::api::wire::entries;
use crate::api::wire::json::{JSON, Methods};
use crate::telemetry::version;

/// The message of problem details among the schemas.
const PROBLEM_SCHEMA: &str = "Problem";
const INTRODUCTION: &str = "Personalised lists, events, items, users, models, keys and stores in \
    proto3 JSON. Requests may name fields as here (`userId`) or as the protocol does (`user_id`); \
    64-bit integers are strings. Methods with streams are called by gRPC or gRPC-Web.";

/// The description.
pub(super) fn describe(methods: &Methods) -> Value {
    let mut paths = Map::new();
    let mut tags = Vec::new();
    for service in methods.pool().services() {
        let words = comment(&service.parent_file(), service.path());
        tags.push(json!({"name": service.name(), "description": words}));
        for method in service.methods() {
            let path = format!("/v1/{}/{}", service.name(), method.name());
            if methods.at(&path).is_some_and(|known| !known.is_stream) {
                paths.insert(path, json!({"post": operation(&service, &method)}));
            }
        }
    }

    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Qianmian",
            "description": INTRODUCTION,
            "version": version::VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "security": [{"key": []}, {}],
        "components": {
            "schemas": schemas(methods),
            "securitySchemes": {"key": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key (qm_…). A server without keys needs none.",
            }},
        },
    })
}

fn operation(service: &ServiceDescriptor, method: &MethodDescriptor) -> Value {
    let mut description = comment(&service.parent_file(), method.path());
    let name = format!("{}/{}", service.name(), method.name());
    let known = methods::METHODS.iter().find(|known| known.name == name);
    if let Some(known) = known {
        description += &format!(" Needs the scope {}.", known.needs());
    }

    json!({
        "operationId": format!("{}_{}", service.name(), method.name()),
        "tags": [service.name()],
        "description": description,
        "parameters": [{
            "name": "store",
            "in": "header",
            "description": "The store, where the key opens more than one or there are no keys.",
            "schema": {"type": "string", "default": "default"},
        }],
        "requestBody": {
            "required": true,
            "content": {JSON: {"schema": reference(method.input().name())}},
        },
        "responses": {
            "200": {
                "description": "The answer.",
                "content": {JSON: {"schema": reference(method.output().name())}},
            },
            "default": {
                "description": "A refusal.",
                "content": {PROBLEM: {"schema": reference(PROBLEM_SCHEMA)}},
            },
        },
    })
}

/// Every message and enumeration of the protocol.
fn schemas(methods: &Methods) -> Value {
    let mut schemas = Map::new();
    schemas.insert(PROBLEM_SCHEMA.to_owned(), problem());
    for message in methods.pool().all_messages() {
        if is_ours(message.full_name()) && !message.is_map_entry() {
            schemas.insert(message.name().to_owned(), of_message(&message));
        }
    }
    for kind in methods.pool().all_enums() {
        if is_ours(kind.full_name()) {
            schemas.insert(kind.name().to_owned(), of_enum(&kind));
        }
    }
    Value::Object(schemas)
}

fn is_ours(full_name: &str) -> bool {
    full_name.starts_with("qianmian.v1.")
}

fn of_message(message: &MessageDescriptor) -> Value {
    let mut properties = Map::new();
    for field in message.fields() {
        let mut schema = of_field(message, &field);
        let mut description = comment(&message.parent_file(), field.path());
        if let Some(group) = field.containing_oneof().filter(|group| !group.is_synthetic()) {
            let names: Vec<String> =
                group.fields().map(|field| field.json_name().to_owned()).collect();
            description += &format!(" Only one of {} is given.", names.join(", "));
        }

        // Beside a reference, a description is allowed from 3.1 on.
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), description.into());
        }
        properties.insert(field.json_name().to_owned(), schema);
    }

    json!({
        "type": "object",
        "description": comment(&message.parent_file(), message.path()),
        "properties": properties,
        "additionalProperties": false,
    })
}

fn of_field(message: &MessageDescriptor, field: &FieldDescriptor) -> Value {
    let limit = entries::limit_of(message.name(), field.name());
    if field.is_map() {
        let entry = of_kind(&field.kind());
        let mut map = json!({"type": "object", "additionalProperties": entry});
        if let Some((_, max)) = limit {
            map["maxProperties"] = json!(max);
        }
        return map;
    }
    if !field.is_list() {
        return of_kind(&field.kind());
    }

    let mut list = json!({"type": "array", "items": of_kind(&field.kind())});
    if let Some((min, max)) = limit {
        list["minItems"] = json!(min);
        list["maxItems"] = json!(max);
    }
    list
}

/// A single value, as proto3 JSON writes it; for the entries of a map, their values.
fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Double => json!({"type": "number", "format": "double"}),
        Kind::Float => json!({"type": "number", "format": "float"}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({"type": "integer", "format": "int32"})
        }
        Kind::Uint32 | Kind::Fixed32 => {
            json!({"type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX})
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"})
        }
        Kind::Uint64 | Kind::Fixed64 => {
            json!({"type": "string", "format": "uint64", "pattern": "^[0-9]+$"})
        }
        Kind::Bool => json!({"type": "boolean"}),
        Kind::String => json!({"type": "string"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Enum(kind) => reference(kind.name()),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
            "google.protobuf.Duration" => {
                json!({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"})
            }
            "google.protobuf.FieldMask" => json!({"type": "string", "examples": ["price,title"]}),
            _ if message.is_map_entry() => of_kind(&message.map_entry_value_field().kind()),
            _ => reference(message.name()),
        },
    }
}

fn of_enum(kind: &EnumDescriptor) -> Value {
    let values: Vec<String> = kind.values().map(|value| value.name().to_owned()).collect();
    let mut description = comment(&kind.parent_file(), kind.path());
    for value in kind.values() {
        let words = comment(&kind.parent_file(), value.path());
        description += &format!("\n- `{}`: {words}", value.name());
    }
    json!({"type": "string", "description": description, "enum": values})
}

/// The message of a refusal.
fn problem() -> Value {
    let text = || json!({"type": "string"});

    json!({
        "type": "object",
        "description": "A refusal, as problem details (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "reason"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": text(),
            "status": {"type": "integer"},
            "detail": text(),
            "code": {"type": "string", "description": "The code of gRPC."},
            "reason": {"type": "string", "description": "What happened, in a word that is stable."},
            "errors": {
                "type": "array",
                "description": "The fields that break a limit, each by its path.",
                "items": {
                    "type": "object",
                    "required": ["field", "detail"],
                    "properties": {"field": text(), "detail": text()},
                },
            },
            "metadata": {"type": "object", "additionalProperties": text()},
        },
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The comment before a declaration, by its path in the descriptor of its file, as one paragraph.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let locations = info.map(|info| info.location.as_slice()).unwrap_or_default();
    let here = |location: &&Location| location.path == path;
    let words = locations.iter().find(here).and_then(|location| location.leading_comments.as_ref());
    let words: Vec<&str> =
        words.map(|words| words.split_whitespace().collect()).unwrap_or_default();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unary_method_is_described_by_its_comments() {
        let methods = Methods::read().unwrap();
        let described = describe(&methods);
        let paths = described["paths"].as_object().unwrap();
        assert!(paths.len() > 30, "{}", paths.len());
        assert!(!paths.contains_key("/v1/EventService/StreamEvents"));
        for (path, item) in paths {
            let words = item["post"]["description"].as_str().unwrap();
            assert!(!words.starts_with(" Needs") && words.len() > 30, "{path}: {words}");
        }

        for tag in described["tags"].as_array().unwrap() {
            assert!(!tag["description"].as_str().unwrap().is_empty(), "{tag}");
        }

        let schemas = &described["components"]["schemas"];
        for (name, schema) in schemas.as_object().unwrap() {
            assert!(!schema["description"].as_str().unwrap().is_empty(), "{name}");
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                let words = property["description"].as_str();
                assert!(
                    name == PROBLEM_SCHEMA || words.is_some_and(|words| !words.is_empty()),
                    "{name}.{field}"
                );
            }
        }
        assert_eq!(schemas["WriteEventsRequest"]["properties"]["events"]["maxItems"], 10_000);
        assert_eq!(schemas["Event"]["properties"]["time"]["format"], "date-time");
        assert_eq!(schemas["Item"]["properties"]["attributes"]["maxProperties"], 64);
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        fn follow(value: &Value, schemas: &Value) {
            if let Some(target) = value.get("$ref").and_then(Value::as_str) {
                let name = target.strip_prefix("#/components/schemas/").unwrap();
                assert!(schemas.get(name).is_some(), "{target}");
            }
            match value {
                Value::Object(map) => map.values().for_each(|value| follow(value, schemas)),
                Value::Array(list) => list.iter().for_each(|value| follow(value, schemas)),
                _ => {}
            }
        }
        let described = describe(&Methods::read().unwrap());
        follow(&described, &described["components"]["schemas"]);
    }
}
