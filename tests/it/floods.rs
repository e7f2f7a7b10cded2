//! Floods of frames by a caller with a valid key: the connection ends, or costs no more than its
//! share, and others are served.

use std::time::{Duration, Instant};

use qianmian::access::{KeySpec, Keyring, Scope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::guarded::Caller;
use crate::strangers;

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
const END_OF_HEADERS: u8 = 4;

/// The headers of a request with a key.
fn headers(key: &str) -> Vec<u8> {
    let field = |name: &str, value: &str| -> Vec<u8> {
        [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    [
        field(":method", "POST"),
        field(":scheme", "http"),
        field(":path", "/qianmian.v1.EventService/WriteEvents"),
        field(":authority", "shop"),
        field("content-type", "application/grpc"),
        field("te", "trailers"),
        field("authorization", &format!("Bearer {key}")),
    ]
    .concat()
}

/// Sends frames for some seconds, or until the connection ends; whether it ended, and the bytes sent.
async fn flood(
    address: String,
    begin: Vec<u8>,
    mut next: impl FnMut(u32) -> Vec<u8>,
) -> (bool, usize) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut answers, mut requests) = stream.into_split();
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while answers.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    requests.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    requests.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    requests.write_all(&begin).await.unwrap();

    let began = Instant::now();
    let (mut sent, mut count) = (0, 0);
    while began.elapsed() < Duration::from_secs(4) {
        let mut batch = Vec::with_capacity(70 << 10);
        while batch.len() < 64 << 10 {
            batch.extend(next(count));
            count += 1;
        }
        let written =
            tokio::time::timeout(Duration::from_secs(3), requests.write_all(&batch)).await;
        match written {
            Ok(Ok(())) => sent += batch.len(),
            Ok(Err(_)) => return (true, sent),
            Err(_) => break,
        }
        if reading.is_finished() {
            return (true, sent);
        }
    }
    (false, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_without_requests_end_their_connection_and_take_nothing_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keyring::open(folder.path()).unwrap();
    let spec = |name: &str| KeySpec::new(name, &[Scope::Events, Scope::Read], Some("default"));
    let (_, flooding) = keys.create(spec("flooding")).unwrap();
    let (_, other) = keys.create(spec("other")).unwrap();
    let server = strangers::server(folder.path(), &[]).await;
    let channel = server.channel().await;
    let other = Caller::new(&channel, Some(other.reveal()));
    let before = server.memory_mib();

    let request = headers(flooding.reveal());
    let open = frame(HEADERS, END_OF_HEADERS, 1, &request);
    let id = |count: u32| 3 + 2 * count;
    type Next = Box<dyn FnMut(u32) -> Vec<u8> + Send>;
    let reset = request.clone();
    let floods: Vec<(&str, Vec<u8>, Next, bool)> = vec![
        ("pings", open.clone(), Box::new(|_| frame(PING, 0, 0, &[7; 8])), true),
        ("settings", open.clone(), Box::new(|_| frame(SETTINGS, 0, 0, &[])), true),
        ("empty data", open.clone(), Box::new(|_| frame(DATA, 0, 1, &[])), true),
        ("priorities", open.clone(), Box::new(|_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])), true),
        ("windows", open.clone(), Box::new(|_| frame(WINDOW, 0, 1, &[0, 0, 0, 1])), true),
        ("unknown frames", open.clone(), Box::new(|_| frame(200, 0, 0, &[1; 64])), true),
        (
            "continuations",
            frame(HEADERS, 0, 1, &request),
            Box::new(|_| frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y'])),
            true,
        ),
        (
            // Requests that are taken back are requests: quotas count them.
            "resets",
            Vec::new(),
            Box::new(move |count| {
                let begin = frame(HEADERS, END_OF_HEADERS, id(count), &reset);
                [begin, frame(RESET, 0, id(count), &[0, 0, 0, 8])].concat()
            }),
            false,
        ),
    ];

    for (what, begin, next, must_end) in floods {
        let address = server.address.clone();
        let flooding = tokio::spawn(flood(address, begin, next));
        let mut slowest = Duration::ZERO;
        while !flooding.is_finished() {
            let asked = Instant::now();
            other.call("CatalogService/ListItems", Vec::new()).await.unwrap();
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (ended, sent) = flooding.await.unwrap();
        assert!(ended || !must_end, "{what}: {sent} bytes were taken");
        assert!(slowest < Duration::from_secs(2), "{what}: {slowest:?}");
        let memory = server.memory_mib();
        assert!(memory < before + 100, "{what}: {memory} MiB after {before}");
    }
    server.kill();
}
