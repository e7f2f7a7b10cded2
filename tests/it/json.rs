//! Calls in JSON over HTTP and in gRPC-Web, with clients that know neither gRPC nor HTTP/2.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use prost::Message;
use qianmian::access::{KeySpec, Quota, Scope};
use qianmian::api::ServeOptions;
use qianmian::api::wire::{codec, entries, pb};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::guarded::Guarded;
use crate::support::{self, Process, Server, http_get, http_send, purchases, trained};

const JSON: (&str, &str) = ("Content-Type", "application/json");

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

/// A value that may or may not be what a field takes.
fn odd(rng: &mut StdRng, deep: usize) -> Value {
    match rng.random_range(0..12) {
        0 => Value::Null,
        1 => json!(rng.random::<i64>()),
        2 => json!(rng.random::<f64>() * 1e300),
        3 => json!(
            ["", "a", "茶", "\u{0}", "2024-01-01T00:00:00Z", "NaN", "-1"][rng.random_range(0..7)]
        ),
        4 => json!("x".repeat(rng.random_range(0..300))),
        5 => json!(rng.random::<bool>()),
        6 if deep < 4 => {
            Value::Array((0..rng.random_range(0..5)).map(|_| odd(rng, deep + 1)).collect())
        }
        7 | 8 if deep < 4 => fields(rng, deep + 1),
        _ => json!(rng.random_range(-2..600)),
    }
}

fn fields(rng: &mut StdRng, deep: usize) -> Value {
    const NAMES: [&str; 20] = [
        "events",
        "userId",
        "user_id",
        "itemId",
        "items",
        "users",
        "limit",
        "filter",
        "condition",
        "conditions",
        "allOf",
        "price",
        "min",
        "time",
        "kind",
        "updateMask",
        "attributes",
        "pageToken",
        "generation",
        "none",
    ];
    let pairs = (0..rng.random_range(0..5))
        .map(|_| (NAMES[rng.random_range(0..NAMES.len())].to_owned(), odd(rng, deep)));
    Value::Object(pairs.collect())
}

#[test]
fn no_text_is_more_than_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let mut rng = StdRng::seed_from_u64(21);
    for round in 0..1_500 {
        let methods = qianmian::api::access::methods::METHODS;
        let method = &methods[rng.random_range(0..methods.len())];
        // What would end the test for others.
        if ["KeyService/CreateKey", "ModelService/Train"].contains(&method.name) {
            continue;
        }
        let mut text = fields(&mut rng, 0).to_string().into_bytes();
        if round % 4 == 0 && !text.is_empty() {
            let at = rng.random_range(0..text.len());
            text[at] = rng.random();
        }
        let path = format!("POST /v1/{}", method.name);
        let (code, _, body) = http_send(&server.address, &path, &[JSON], &text);
        let shown = String::from_utf8_lossy(&text);
        assert!(
            code < 500 || code == 501,
            "{} {shown}: {}",
            method.name,
            String::from_utf8_lossy(&body)
        );
        serde_json::from_slice::<Value>(&body).unwrap();
    }
}

#[test]
fn what_is_too_much_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let before = server.memory_mib();
    let bomb = |entry: &str| {
        format!(r#"{{"events": [{}]}}"#, vec![entry; 15_000_000 / (entry.len() + 1)].join(","))
    };
    let deep = |depth: usize| {
        let open = r#"{"allOf": {"conditions": ["#.repeat(depth);
        format!(r#"{{"filter": {{"condition": {open}{}}}}}"#, "]}}".repeat(depth))
    };
    for (method, text) in [
        ("EventService/WriteEvents", bomb("{}")),
        ("EventService/WriteEvents", bomb(r#"{"price":1}"#)),
        ("EventService/WriteEvents", bomb("[]")),
        ("EventService/WriteEvents", bomb("null")),
        (
            "CatalogService/UpsertItems",
            format!(r#"{{"updateMask": "{}"}}"#, "a,".repeat(7_000_000)),
        ),
        ("CatalogService/GetItem", format!(r#"{{"itemId": "{}"}}"#, "x".repeat(15_000_000))),
        ("CatalogService/GetItem", format!(r#"{{"{}": 1}}"#, "x".repeat(15_000_000))),
        ("CatalogService/GetItem", format!("{}1{}", "[".repeat(7_000_000), "]".repeat(7_000_000))),
        ("RecommendationService/Popular", deep(35)),
        ("RecommendationService/Popular", deep(1_000)),
        ("CatalogService/GetItem", " ".repeat(17 << 20)),
        (
            "CatalogService/UpsertItems",
            format!(r#"{{"items": [{}]}}"#, vec![r#"{"tags": ["a","b"]}"#; 10_001].join(",")),
        ),
    ] {
        let path = format!("POST /v1/{method}");
        let (code, _, body) = http_send(&server.address, &path, &[JSON], text.as_bytes());
        let start = &text[..text.len().min(60)];
        assert_eq!(code, 400, "{method} {start}: {}", String::from_utf8_lossy(&body));
        assert!(body.len() < 4_000, "{} bytes", body.len());
    }
    let grown = server.memory_mib().saturating_sub(before);
    assert!(grown < 300, "{grown} MiB more");
    assert_eq!(call(&server.address, "CatalogService/ListItems", "{}").0, 200);
}

#[test]
fn clients_of_http_1_cannot_hold_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start_with(folder.path(), |command| {
        command
            .env("QIANMIAN_SERVE__REQUEST_SECONDS", "1")
            .env("QIANMIAN_SERVE__HANDSHAKE_SECONDS", "1")
            .env("QIANMIAN_SERVE__SEND_SECONDS", "1");
    });
    let ends = |sent: &[u8]| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(sent).unwrap();
        let began = Instant::now();
        let mut answer = Vec::new();
        // A connection that is cut off ends too.
        let outcome = stream.read_to_end(&mut answer).map_err(|error| error.kind());
        assert_ne!(outcome, Err(std::io::ErrorKind::WouldBlock), "{answer:?}");
        (began.elapsed(), String::from_utf8_lossy(&answer).into_owned())
    };

    // A request that stays silent before, within and after its headers.
    assert!(ends(b"GET").0 < Duration::from_secs(10));
    let half = b"POST /v1/CatalogService/ListItems HTTP/1.1\r\nHost: x\r\nContent-Type: \
        application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{";
    let (took, answer) = ends(half);
    assert!(took < Duration::from_secs(10) && answer.contains("504"), "{took:?} {answer}");

    // A client that asks again and again, and takes no answer.
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let get = format!("GET /v1/openapi.json HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stream.write_all(get.repeat(300).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_secs(6));
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut came = Vec::new();
    let ended = stream.read_to_end(&mut came).map_err(|error| error.kind());
    assert_ne!(ended, Err(std::io::ErrorKind::WouldBlock), "the connection is still open");
    let whole = 300 * http_get(&server.address, "/v1/openapi.json").2.len();
    assert!(came.len() < whole / 2, "{} of {whole} bytes came", came.len());

    // Headers without end.
    let before = server.memory_mib();
    let line = format!("X: {}\r\n", "x".repeat(1_000)).repeat(300);
    let endless: Vec<TcpStream> = (0..150)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            // The server may have ended it already.
            let _ = stream.write_all(format!("GET / HTTP/1.1\r\n{line}").as_bytes());
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    let grown = server.memory_mib().saturating_sub(before);
    assert!(grown < 20, "{grown} MiB for {} connections", endless.len());

    let many: Vec<(&str, &str)> = vec![("X-Long", "a header of thirty bytes or so"); 90];
    let (code, _, _) = http_send(
        &server.address,
        "POST /v1/CatalogService/ListItems",
        &[many, vec![JSON]].concat(),
        b"{}",
    );
    assert_eq!(code, 200, "as HTTP/2 allows");
    let long = "x".repeat(9_000);
    let (code, _, _) = http_send(
        &server.address,
        "POST /v1/CatalogService/ListItems",
        &[JSON, ("X-Long", &long)],
        b"{}",
    );
    assert_eq!(code, 431);
    assert_eq!(call(&server.address, "CatalogService/ListItems", "{}").0, 200);
}

#[test]
fn a_body_that_breaks_off_or_is_none_is_no_fault_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    server.get("/metrics");
    let head = "POST /v1/CatalogService/ListItems HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let half = format!("{head}Content-Length: 100\r\n\r\n{{");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(half.as_bytes()).unwrap();
    drop(stream);

    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\nZZ\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains("hyper"), "{answer}");

    let text = [("Content-Type", "application/grpc-web-text")];
    let path = "POST /qianmian.v1.CatalogService/ListItems";
    let (_, head, _) = http_send(&server.address, path, &text, b"!!!!!!!!");
    assert!(head.contains("grpc-status: 3"), "{head}");

    let counted = |code: &str| {
        let (_, _, metrics) = server.get("/metrics");
        metrics
            .lines()
            .any(|line| line.starts_with("qianmian_requests_total") && line.contains(code))
    };
    let began = Instant::now();
    while !counted("CANCELLED") {
        assert!(began.elapsed() < Duration::from_secs(10), "the broken request is not counted");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!counted("UNKNOWN") && !counted("INTERNAL"));
}

#[test]
fn what_is_refused_before_it_is_a_call_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let send =
        |what: &str, headers: &[(&str, &str)]| http_send(&server.address, what, headers, b"{}").0;
    // The first look at the metrics turns them on.
    server.get("/metrics");
    let popular = "POST /v1/RecommendationService/Popular";
    assert_eq!(send(popular, &[JSON, ("Origin", "http://elsewhere.example")]), 403);
    assert_eq!(send(popular, &[]), 415);
    assert_eq!(send("POST /v1/Nothing/Nowhere", &[JSON]), 404);
    let (_, _, metrics) = server.get("/metrics");
    for (method, code) in [
        ("RecommendationService/Popular", "PERMISSION_DENIED"),
        ("RecommendationService/Popular", "INVALID_ARGUMENT"),
        ("other", "NOT_FOUND"),
    ] {
        let counted = |line: &str| {
            line.starts_with("qianmian_requests_total")
                && line.contains(&format!("\"{method}\""))
                && line.contains(code)
                && line.ends_with(" 1")
        };
        assert!(metrics.lines().any(counted), "{method} {code}: {metrics}");
    }
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
