//! Clients that mean harm, or have lost their way: they get clear errors, and others are served.

use std::time::Duration;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::catalog_service_client::CatalogServiceClient;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::api::wire::pb::model_service_client::ModelServiceClient;
use qianmian::api::wire::pb::push_model_request::Part;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use qianmian::engine::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::parcel::{Parcel, chunk, header};
use crate::support::{self, Process};

/// A server of a small store with a model, with settings that make harm quick.
pub(crate) async fn server(folder: &std::path::Path, settings: &[(&str, &str)]) -> Process {
    let engine = std::sync::Arc::new(Engine::open(folder, support::quiet()).unwrap());
    let rows = [("a", "x", 1), ("b", "x", 1), ("b", "y", 1), ("c", "y", 2), ("c", "z", 2)];
    engine.writer().record(support::purchases(&rows)).await.unwrap();
    support::trained(&engine).await;
    drop(engine);
    Process::start_with(folder, |command| {
        command.env("QIANMIAN_TRAIN__TUNE", "false").envs(settings.iter().copied());
    })
}

pub(crate) async fn is_served(channel: &Channel) {
    let ask = pb::RecommendRequest { user_id: "a".into(), limit: 2, ..Default::default() };
    let answer = RecommendationServiceClient::new(channel.clone()).recommend(ask).await;
    assert_eq!(answer.unwrap().into_inner().items.len(), 2);
}

fn write(id: &str) -> pb::WriteEventsRequest {
    let event = pb::Event {
        kind: pb::EventKind::View.into(),
        user_id: id.into(),
        item_id: "x".into(),
        ..Default::default()
    };
    pb::WriteEventsRequest { events: vec![event] }
}

/// Begins an HTTP/2 connection with these settings and sends, on it, this many requests of a
/// method, each with these bytes and ended or not.
pub(crate) async fn begin(
    address: &str,
    settings: &[u8],
    requests: u32,
    method: &str,
    (body, ends): (&[u8], bool),
) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let frame = |kind: u8, flags: u8, id: u32, payload: &[u8]| -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
    };
    bytes.extend(frame(4, 0, 0, settings));
    // Literal headers without an index: no table to keep.
    let field = |name: &str, value: &str| -> Vec<u8> {
        [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    let headers = [
        field(":method", "POST"),
        field(":scheme", "http"),
        field(":path", &format!("/qianmian.v1.{method}")),
        field(":authority", "shop"),
        field("content-type", "application/grpc"),
        field("te", "trailers"),
    ]
    .concat();
    for n in 0..requests {
        let id = 1 + 2 * n;
        bytes.extend(frame(1, 4, id, &headers));
        bytes.extend(frame(0, u8::from(ends), id, body));
    }
    stream.write_all(&bytes).await.unwrap();
    stream
}

/// Requests that announce 16 MiB and send nothing of it.
async fn announce(address: &str, requests: u32) -> TcpStream {
    let body = (&[0, 1, 0, 0, 0][..], false);
    begin(address, &[], requests, "EventService/WriteEvents", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_never_come_take_nothing_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[("QIANMIAN_SERVE__REQUEST_SECONDS", "2")]).await;
    let before = server.memory_mib();
    let mut silent = Vec::new();
    for _ in 0..22 {
        silent.push(announce(&server.address, 100).await);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let channel = server.channel().await;
    for _ in 0..20 {
        is_served(&channel).await;
    }
    assert!(server.memory_mib() < before + 100, "{} after {before} MiB", server.memory_mib());

    // They are answered for, too: each gets its DEADLINE_EXCEEDED.
    let mut answer = Vec::new();
    let mut reading = silent.pop().unwrap();
    let _ = tokio::time::timeout(Duration::from_secs(4), reading.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(answer.len() > 1_000 && !text.contains("panic"), "{} bytes", answer.len());
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_without_content_are_counted_before_they_are_built() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[]).await;
    let channel = server.channel().await;
    let before = server.memory_mib();
    let events = vec![pb::Event::default(); 7_000_000];
    let mut client = EventServiceClient::new(channel.clone());
    let refused = client.write_events(pb::WriteEventsRequest { events }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("events: must have 1 to 10000 entries, has more"));
    let item = pb::Item { tags: vec![String::new(); 5_000_000], ..Default::default() };
    let items = pb::UpsertItemsRequest { items: vec![item], update_mask: None };
    let refused = CatalogServiceClient::new(channel.clone()).upsert_items(items).await.unwrap_err();
    assert!(refused.message().contains("items[0].tags"), "{refused:?}");
    assert!(server.memory_mib() < before + 200, "{} after {before} MiB", server.memory_mib());
    is_served(&channel).await;
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_are_closed_and_do_not_use_up_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    drop(engine);
    let server = Process::start_with(folder.path(), |command| {
        let limited = "ulimit -n 96; exec \"$0\" \"$@\"";
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", limited]).arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("QIANMIAN_SERVE__HANDSHAKE_SECONDS", "1");
        *command = shell;
    });
    // More than there are files for.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(&server.address).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let spent = server.processor_ms();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(server.processor_ms() - spent < 150, "the accept loop spins");

    // After the time for a handshake all of them are gone, and others get in.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for stream in &mut silent[..20] {
        let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut [0; 64])).await;
        assert!(read.is_ok(), "it is still open");
    }
    let mut recorded = false;
    for _ in 0..50 {
        // Those that waited to be accepted are silent too, and go in their turn.
        if let Ok(channel) = server.try_channel().await {
            recorded = EventServiceClient::new(channel).write_events(write("a")).await.is_ok();
        }
        if recorded {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(recorded);
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_pushes_lose_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[]).await;
    let channel = server.channel().await;
    let bytes = Parcel::embeddings().bytes();
    let mut paused = Vec::new();
    for n in 0..4 {
        let (sender, messages) = tokio::sync::mpsc::channel(4);
        let begin = pb::PushHeader { push_id: format!("paused-{n}"), ..header(&bytes) };
        for part in [Part::Header(begin), chunk(0, &bytes[..8])] {
            sender.send(pb::PushModelRequest { part: Some(part) }).await.unwrap();
        }
        let mut client = ModelServiceClient::new(channel.clone());
        let stream = tokio_stream::wrappers::ReceiverStream::new(messages);
        paused.push((sender, tokio::spawn(async move { client.push_model(stream).await })));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let push = |n: u32| {
        let mut client = ModelServiceClient::new(channel.clone());
        let begin = pb::PushHeader { push_id: format!("next-{n}"), ..header(&bytes) };
        let parts = [Part::Header(begin), chunk(0, &bytes), crate::parcel::commit(&bytes)];
        let messages = parts.map(|part| pb::PushModelRequest { part: Some(part) });
        async move { client.push_model(tokio_stream::iter(messages)).await }
    };
    assert_eq!(push(0).await.unwrap_err().code(), Code::ResourceExhausted);
    tokio::time::sleep(Duration::from_secs(11)).await;
    // It gets in; what the gate then says of so small a model is another matter.
    assert_ne!(push(1).await.err().map(|e| e.code()), Some(Code::ResourceExhausted));
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_deadline_makes_the_server_panic() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[]).await;
    let mut client = RecommendationServiceClient::new(server.channel().await);
    for timeout in ["9223372036854775807S", "99999999H", "18446744073709551615n", "S", "-1S", "+1S"]
    {
        let ask = pb::RecommendRequest { user_id: "a".into(), limit: 2, ..Default::default() };
        let mut request = Request::new(ask);
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        assert!(client.recommend(request).await.is_ok(), "{timeout}");
    }
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_fit_into_what_every_client_takes() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[]).await;
    let channel = server.channel().await;

    // A token of 8 MiB comes back as a few words.
    let mut catalog = CatalogServiceClient::new(channel.clone());
    let token = "9".repeat(8 << 20);
    let ask = pb::ListItemsRequest { page_token: token, ..Default::default() };
    let refused = catalog.list_items(ask).await.unwrap_err();
    assert!(refused.message().len() < 400 && refused.message().contains("8388608 bytes"));

    // One good event among 9,999 bad ones is recorded, and the answer says so.
    let mut events = write("good").events;
    let bad = "\u{1b}".repeat(256);
    events.extend((0..9_999).map(|_| write(&bad).events.remove(0)));
    let mut client = EventServiceClient::new(channel.clone());
    let answer = client.write_events(pb::WriteEventsRequest { events }).await.unwrap().into_inner();
    assert_eq!((answer.recorded, answer.errors.len()), (1, 9_999));
    assert!(answer.errors.iter().all(|e| e.field == "user_id" && e.message.len() < 200));

    // Pages of large items are cut where a client would refuse them, and all of them come.
    let large = |n: usize| pb::Item {
        item_id: format!("large-{n}"),
        attributes: (0..60).map(|a| (format!("a{a}"), "v".repeat(4_000))).collect(),
        ..Default::default()
    };
    for n in 0..30 {
        let items = vec![large(n)];
        catalog.upsert_items(pb::UpsertItemsRequest { items, update_mask: None }).await.unwrap();
    }
    let (mut listed, mut page_token, mut pages) = (0, String::new(), 0);
    loop {
        let ask = pb::ListItemsRequest { page_token, ..Default::default() };
        let page = catalog.list_items(ask).await.unwrap().into_inner();
        (listed, pages) = (listed + page.items.len(), pages + 1);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(listed == 33 && pages > 2, "{listed} items on {pages} pages");
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_hold_nothing_that_cannot_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[]).await;
    let mut client = EventServiceClient::new(server.channel().await);
    type Change = fn(&mut pb::Event, String);
    let fields: [(&str, Change); 7] = [
        ("user_id", |e, v| e.user_id = v),
        ("item_id", |e, v| e.item_id = v),
        ("event_id", |e, v| e.event_id = v),
        ("basket_id", |e, v| e.basket_id = v),
        ("session_id", |e, v| e.session_id = v),
        ("recommendation_id", |e, v| e.recommendation_id = v),
        ("channel", |e, v| e.channel = v),
    ];
    for (field, change) in fields {
        for value in ["a\0b", "a\nb", "\u{1b}[31m", "a\u{7f}", " a", "a\t", "a\u{3000}"] {
            let mut request = write("good");
            change(&mut request.events[0], value.to_owned());
            let refused = client.write_events(request).await.unwrap_err();
            assert!(
                refused.message().starts_with(&format!("events[0].{field}: must")),
                "{refused:?}"
            );
            assert!(!refused.message().chars().any(char::is_control), "{refused:?}");
        }
    }
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_says_so_and_goes_on_with_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let limits = [("QIANMIAN_LIMITS__MAX_USERS", "5"), ("QIANMIAN_LIMITS__MAX_ITEMS", "4")];
    let server = server(folder.path(), &limits).await;
    let channel = server.channel().await;
    let mut client = EventServiceClient::new(channel.clone());
    let two = pb::WriteEventsRequest {
        events: ["d", "e", "d"].iter().flat_map(|id| write(id).events).collect(),
    };
    assert_eq!(client.write_events(two).await.unwrap().into_inner().recorded, 3);
    let full = client.write_events(write("f")).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
    assert!(full.message().contains("limits.max_users"), "{full:?}");
    assert_eq!(client.write_events(write("a")).await.unwrap().into_inner().recorded, 1);

    let item = |id: &str| pb::Item { item_id: id.into(), ..Default::default() };
    let mut catalog = CatalogServiceClient::new(channel.clone());
    let three =
        pb::UpsertItemsRequest { items: ["x", "p", "q"].map(item).to_vec(), update_mask: None };
    let full = catalog.upsert_items(three).await.unwrap_err();
    assert!(full.message().contains("limits.max_items"), "{full:?}");
    is_served(&channel).await;
    server.kill();
}

/// Where the data folder goes away under the server, it takes no more writes and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_gone_ends_writes_and_health_says_so() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

    for gone in ["stores/default/LOCK", "stores/default/log"] {
        let folder = tempfile::tempdir().unwrap();
        let server = server(folder.path(), &[]).await;
        let channel = server.channel().await;
        let mut client = EventServiceClient::new(channel.clone());
        client.write_events(write("a")).await.unwrap();
        let path = folder.path().join(gone);
        std::fs::rename(&path, path.with_extension("aside")).unwrap();
        let refused = client.write_events(write("a")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{gone}");
        assert!(refused.message().contains("was removed or replaced"), "{refused:?}");
        client.write_events(write("a")).await.unwrap_err();

        let mut health = HealthClient::new(channel.clone());
        let mut status = async |service: &str| {
            let request = HealthCheckRequest { service: service.into() };
            health.check(request).await.unwrap().into_inner().status()
        };
        // Health follows the refusal, in a moment.
        for _ in 0..100 {
            if status("qianmian.v1.CatalogService").await == ServingStatus::NotServing {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(status("qianmian.v1.EventService").await, ServingStatus::NotServing);
        assert_eq!(status("qianmian.v1.CatalogService").await, ServingStatus::NotServing);
        assert_eq!(status("qianmian.v1.RecommendationService").await, ServingStatus::Serving);
        is_served(&channel).await;
        server.kill();
    }
}
