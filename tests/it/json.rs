//! Calls in JSON over HTTP and in gRPC-Web, with clients that know neither gRPC nor HTTP/2.

use prost::Message;
use qianmian::access::{KeySpec, Quota, Scope};
use qianmian::api::ServeOptions;
use qianmian::api::wire::{codec, entries, pb};
use serde_json::{Value, json};

use crate::guarded::Guarded;
use crate::support::{self, Server, http_get, http_send, purchases, trained};

pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A call in JSON: the code and the answer.
pub(crate) fn call(address: &str, method: &str, message: &str) -> (u16, Value) {
    let (code, _, body) =
        http_send(address, &format!("POST /v1/{method}"), &[JSON], message.as_bytes());
    (code, serde_json::from_slice(&body).unwrap())
}

/// The field that a call is refused for, with the words.
fn refused(address: &str, method: &str, message: &str) -> (String, String) {
    let (code, problem) = call(address, method, message);
    assert_eq!(code, 400, "{message}: {problem}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&problem["errors"][0]["field"]), text(&problem["errors"][0]["detail"]))
}

async fn with_model(folder: &std::path::Path) -> Server {
    let server = Server::start(folder, support::quiet()).await;
    let rows = [("u", "a", 1), ("u", "b", 1), ("v", "a", 1), ("v", "茶", 1)];
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn json_answers_as_grpc_does() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_model(folder.path()).await;
    let address = server.address.clone();

    let request = pb::RecommendRequest { user_id: "u".into(), limit: 3, ..Default::default() };
    let list = server.recommendations().recommend(request).await.unwrap().into_inner();
    for message in [r#"{"userId": "u", "limit": 3}"#, r#"{"user_id": "u", "limit": "3"}"#] {
        let (code, answer) = call(&address, "RecommendationService/Recommend", message);
        assert_eq!(code, 200, "{answer}");
        let items: Vec<&str> = list.items.iter().map(|item| item.item_id.as_str()).collect();
        let found = answer["items"].as_array().unwrap();
        assert_eq!(found.iter().map(|item| &item["itemId"]).collect::<Vec<_>>(), items);
        assert_eq!(found[0]["score"], list.items[0].score);
        assert_eq!((&answer["generation"], &answer["reduced"]), (&json!("1"), &json!(false)));
        assert_eq!(answer["basis"], "BASIS_HISTORY");
    }

    let event = r#"{"events": [{"kind": "EVENT_KIND_VIEW", "userId": "w", "itemId": "a",
        "time": "2024-02-29T12:00:00+01:00"}, {"kind": 1, "userId": "w"}]}"#;
    let (code, answer) = call(&address, "EventService/WriteEvents", event);
    assert_eq!((code, &answer["recorded"]), (200, &json!(1)), "{answer}");
    let error =
        json!({"index": 1, "field": "item_id", "message": "must have 1 to 256 bytes, was empty"});
    assert_eq!(answer["errors"][0]["index"], error["index"], "{answer}");
    assert_eq!(answer["errors"][0]["field"], error["field"], "{answer}");
    let (code, answer) = call(&address, "RecommendationService/Recommend", r#"{"userId": "w"}"#);
    assert_eq!((code, &answer["basis"]), (200, &json!("BASIS_HISTORY")));

    // An empty body is an empty request; lists that are empty are there.
    let (code, answer) = call(&address, "StoreService/ListStores", "");
    assert_eq!((code, &answer["stores"][0]["name"]), (200, &json!("default")));
    let (code, answer) = call(&address, "UserService/GetUser", r#"{"userId": "u"}"#);
    assert_eq!((code, &answer["user"]["attributes"]), (200, &json!({})));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_has_its_path_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_model(folder.path()).await;
    let (_, _, described) = http_get(&server.address, "/v1/openapi.json");
    let described: Value = serde_json::from_str(&described).unwrap();

    let mut unary = 0;
    for method in qianmian::api::access::methods::METHODS {
        let grpc = format!("/qianmian.v1.{}", method.name);
        let streams = entries::CLIENT_STREAMS.iter().chain(entries::SERVER_STREAMS);
        let is_stream = streams.into_iter().any(|path| *path == grpc);
        assert_eq!(described["paths"][format!("/v1/{}", method.name)].is_null(), is_stream);
        let (code, answer) = call(&server.address, method.name, r#"{"nothing": 1}"#);
        if is_stream {
            assert_eq!(code, 501, "{}: {answer}", method.name);
        } else {
            let detail = answer["errors"][0]["detail"].as_str().unwrap();
            assert_eq!(code, 400, "{}: {answer}", method.name);
            assert!(detail.starts_with("is not a field of"), "{answer}");
            unary += 1;
        }
    }
    assert!(unary > 30, "{unary}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_named_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_model(folder.path()).await;
    let address = &server.address;

    let recommend = "RecommendationService/Recommend";
    for (message, field, words) in [
        (r#"{"userId": "u", "limit": 501}"#, "limit", "must be 1 to 500, was 501"),
        (r#"{"limit": 99999999999}"#, "limit", "out of range"),
        (r#"{"limit": -99999999999}"#, "limit", "out of range"),
        (r#"{"limit": 1.5}"#, "limit", "integer"),
        (r#"{"limit": true}"#, "limit", "boolean"),
        (r#"{"user": "u"}"#, "user", "is not a field of RecommendRequest"),
        (r#"{"userId": 7}"#, "userId", "expected a string"),
        (
            r#"{"filter": {"condition": {"price": {"min": "cheap"}}}}"#,
            "filter.condition.price.min",
            "",
        ),
        (r#"{"strategy": "SOURCE_NONE"}"#, "strategy", "SOURCE_NONE"),
        (r#"{"sessionItemIds": "a"}"#, "sessionItemIds", "expected a list"),
        (r#"{"userId": "u"#, "userId", "EOF"),
        ("null", "request", ""),
        ("limit=5", "request", "line 1"),
    ] {
        let (found, said) = refused(address, recommend, message);
        assert!(found == field && said.contains(words), "{message}: {found}: {said}");
    }
    let (found, _) =
        refused(address, "EventService/WriteEvents", r#"{"events": [{}, {"time": "2024-13-01"}]}"#);
    assert_eq!(found, "events[1].time");

    let sent = |what: &str, headers: &[(&str, &str)], body: &str| {
        let (code, head, body) = http_send(address, what, headers, body.as_bytes());
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert!(head.contains("content-type: application/problem+json"), "{head}");
        assert_eq!(problem["status"], code, "{problem}");
        (code, head)
    };
    let path = format!("POST /v1/{recommend}");
    assert_eq!(sent(&path, &[("Content-Type", "text/plain")], "{}").0, 415);
    assert_eq!(sent(&path, &[], "{}").0, 415);
    assert_eq!(sent("POST /v1/RecommendationService/Nothing", &[JSON], "{}").0, 404);
    assert_eq!(sent("GET /v1/", &[], "").0, 404);
    assert_eq!(sent("GET /somewhere", &[], "").0, 404);
    let (code, head) = sent(&format!("GET /v1/{recommend}"), &[], "");
    assert!(code == 405 && head.contains("allow: post"), "{head}");
    assert_eq!(call(address, "CatalogService/GetItem", r#"{"itemId": "none"}"#).0, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_quotas_hold_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let server = Guarded::start(folder.path(), support::quiet(), ServeOptions::default()).await;
    let quota = Quota { requests_per_second: 1, burst: 2, ..Quota::default() };
    let spec = KeySpec { quota, ..KeySpec::new("shop", &[Scope::Read], Some("default")) };
    let (_, secret) = server.served.keys.create(spec).unwrap();
    let bearer = format!("Bearer {}", secret.reveal());

    let send = |method: &str, key: Option<&str>| {
        let headers: Vec<_> =
            [JSON].into_iter().chain(key.map(|key| ("Authorization", key))).collect();
        let (code, head, body) =
            http_send(&server.address, &format!("POST /v1/{method}"), &headers, b"{}");
        (code, head, serde_json::from_slice::<Value>(&body).unwrap()["reason"].clone())
    };
    let (code, head, reason) = send("RecommendationService/Popular", None);
    assert_eq!((code, reason), (401, json!("KEY_MISSING")));
    assert!(head.contains("www-authenticate: bearer"), "{head}");
    let (code, _, reason) = send("UserService/ListUsers", Some(&bearer));
    assert_eq!((code, reason), (403, json!("SCOPE_MISSING")));
    let (code, _, _) = send("CatalogService/ListItems", Some(&bearer));
    assert_eq!(code, 200);
    let (code, head, reason) = send("CatalogService/ListItems", Some(&bearer));
    assert_eq!((code, reason), (429, json!("QUOTA_EXCEEDED")));
    assert!(head.contains("retry-after: 1"), "{head}");

    // The page and the description need none, and hold nothing of the store.
    assert_eq!(http_get(&server.address, "/").0, 200);
    assert_eq!(http_get(&server.address, "/v1/openapi.json").0, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_web_answers_with_its_trailers_in_the_body() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_model(folder.path()).await;
    let request = pb::BatchRecommendRequest {
        user_ids: vec!["u".into(), "v".into()],
        limit: 2,
        ..Default::default()
    };
    let headers = [("Content-Type", "application/grpc-web+proto")];
    let path = "POST /qianmian.v1.RecommendationService/BatchRecommend";
    let (code, head, mut body) =
        http_send(&server.address, path, &headers, &codec::frame(&request));
    assert!(code == 200 && head.contains("content-type: application/grpc-web"), "{head}");
    if head.contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }

    let mut users = Vec::new();
    let mut rest = body.as_slice();
    loop {
        let (flag, length) = (rest[0], u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize);
        let (frame, after) = rest[5..].split_at(length);
        rest = after;
        if flag & 0x80 != 0 {
            assert!(String::from_utf8_lossy(frame).contains("grpc-status:0"), "{frame:?}");
            break;
        }
        users.push(pb::BatchRecommendResponse::decode(frame).unwrap().user_id);
    }
    assert_eq!(users, ["u", "v"]);

    let path = "POST /qianmian.v1.CatalogService/GetItem";
    let unknown = codec::frame(&pb::GetItemRequest { item_id: "none".into() });
    let (_, head, _) = http_send(&server.address, path, &headers, &unknown);
    assert!(head.contains("grpc-status: 5"), "{head}");
    server.stop().await;
}

/// The content of a chunked body.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
    whole
}

#[test]
fn every_reason_has_its_place_on_the_page() {
    let page = include_str!("../../src/api/web/page.html");
    let documented = include_str!("../../docs/src/api.md");
    let statuses = documented.split("| status | HTTP |").nth(1).unwrap();
    let reasons =
        statuses.lines().take_while(|line| !line.is_empty()).filter(|line| line.starts_with("| `"));
    let mut count = 0;
    for line in reasons {
        let columns: Vec<&str> = line.split('|').collect();
        // A status without a reason of its own is one.
        let named = if columns[3].contains('`') { columns[3] } else { columns[1] };
        for reason in named.split('`').skip(1).step_by(2) {
            assert!(page.contains(&format!("id=\"{reason}\"")), "{reason}");
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
}
