//! JSON from strangers: odd, too much, slow or broken off. It is refused and counted, and takes little.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::json::{JSON, call};
use crate::support::{Process, http_get, http_send};

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
