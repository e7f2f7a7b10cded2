//! API keys: every method for every kind of caller, quotas, attempts in bulk.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prost::Message;
use qianmian::access::{KeySpec, Quota, Scope};
use qianmian::api::access::methods::{METHODS, Method};
use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::api::{ServeOptions, TlsOptions};
use tonic::Code;
use tonic_types::StatusExt;

use crate::guarded::{Caller, Guarded, reason};
use crate::support::{self, Process, run};

/// The methods of the documentation: the scopes in words, and whether they are audited.
fn documented() -> BTreeMap<String, (String, bool)> {
    let text = include_str!("../../docs/src/security.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let method = cells.next()?.trim_end_matches('`');
        let scopes = cells.next()?;
        method
            .contains("Service/")
            .then(|| (method.to_owned(), (scopes.to_owned(), cells.next() == Some("yes"))))
    });
    rows.collect()
}

#[test]
fn the_table_of_methods_is_the_protocol_and_the_documentation() {
    let files = prost_types::FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap().file;
    let mut protocol = Vec::new();
    for service in files.iter().filter(|f| f.package() == "qianmian.v1").flat_map(|f| &f.service) {
        protocol.extend(service.method.iter().map(|m| format!("{}/{}", service.name(), m.name())));
    }
    protocol.sort();

    let documented = documented();
    let mut table: Vec<String> = METHODS.iter().map(|method| method.name.to_owned()).collect();
    table.sort();
    assert_eq!(table, protocol);
    assert_eq!(table, documented.keys().cloned().collect::<Vec<_>>());
    for method in METHODS {
        let (scopes, is_audited) = &documented[method.name];
        assert_eq!((scopes.as_str(), *is_audited), (&*method.needs(), method.audit.is_some()));
    }
}

/// What a caller gets: a reason of the documentation, or "passes".
fn verdict(outcome: &Result<Vec<u8>, tonic::Status>) -> String {
    let gates = [
        "KEY_MISSING",
        "KEY_UNKNOWN",
        "KEY_EXPIRED",
        "KEY_REVOKED",
        "SCOPE_MISSING",
        "OTHER_STORE",
    ];
    let Err(status) = outcome else { return "passes".to_owned() };
    let reason = reason(status);
    let expected = match reason.as_str() {
        "SCOPE_MISSING" | "OTHER_STORE" => Code::PermissionDenied,
        other if gates.contains(&other) => Code::Unauthenticated,
        _ => {
            let denied = [Code::PermissionDenied, Code::Unauthenticated, Code::Internal];
            assert!(!denied.contains(&status.code()), "{status:?}");
            return "passes".to_owned();
        }
    };
    assert_eq!(status.code(), expected, "{status:?}");
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_every_caller_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let server = Guarded::start(folder.path(), support::quiet(), ServeOptions::default()).await;
    server.served.host.create("eu", Default::default()).unwrap();
    let channel = server.channel().await;

    // Until there is a key none is needed.
    let open = Caller::new(&channel, None).call("CatalogService/ListItems", Vec::new()).await;
    assert_eq!(verdict(&open), "passes");

    let all = [Scope::Read, Scope::Events, Scope::Catalog, Scope::Users, Scope::Models];
    let short = KeySpec { valid_ms: Some(1_000), ..KeySpec::new("short", &all, Some("default")) };
    let (_, short) = server.served.keys.create(short).unwrap();
    let revoked = server.key("revoked", &all, Some("default"));
    server.served.keys.revoke("revoked").unwrap();
    tokio::time::sleep(Duration::from_millis(1_050)).await;

    let unknown = format!("qm_{}", "0".repeat(64));
    let mut callers: Vec<(String, Caller, Option<&str>, Vec<Scope>)> = Vec::new();
    let mut add = |name: &str, key: Option<&str>, always, scopes: &[Scope]| {
        callers.push((name.to_owned(), Caller::new(&channel, key), always, scopes.to_vec()));
    };
    add("no key", None, Some("KEY_MISSING"), &[]);
    add("an unknown key", Some(&unknown), Some("KEY_UNKNOWN"), &[]);
    add("no secret", Some("password"), Some("KEY_UNKNOWN"), &[]);
    add("an expired key", Some(short.reveal()), Some("KEY_EXPIRED"), &[]);
    add("a revoked key", Some(&revoked), Some("KEY_REVOKED"), &[]);
    for scope in Scope::ALL {
        let store = (!scope.opens_all()).then_some("default");
        let key = server.key(scope.name(), &[scope], store);
        add(scope.name(), Some(&key), None, &[scope]);
    }
    let elsewhere = server.key("elsewhere", &all, Some("eu"));
    add("another store's key", Some(&elsewhere), None, &all);

    let documented = documented();
    for Method { name, .. } in METHODS {
        let needed = &documented[name].0;
        for (who, caller, always, scopes) in &callers {
            let names = |scope: &Scope| needed.split(" or ").any(|word| word == scope.name());
            let has = scopes.contains(&Scope::Admin) || scopes.iter().any(names);
            let expected = always.unwrap_or(if has { "passes" } else { "SCOPE_MISSING" });
            let got = verdict(&caller.call(name, Vec::new()).await);
            assert_eq!(got, expected, "{name} with {who}");

            if who == "another store's key" && has {
                let caller = caller.clone().of_store("default");
                let got = verdict(&caller.call(name, Vec::new()).await);
                assert_eq!(got, "OTHER_STORE", "{name} with the name of another store");
            }
        }
    }

    // An admin names any store, also none that exists.
    let admin = server.key("admin-2", &[Scope::Admin], None);
    for (store, code) in [("eu", Code::Ok), ("nowhere", Code::NotFound), ("..", Code::NotFound)] {
        let caller = Caller::new(&channel, Some(&admin)).of_store(store);
        let answer = caller.call("CatalogService/ListItems", Vec::new()).await;
        assert_eq!(answer.err().map_or(Code::Ok, |status| status.code()), code, "{store}");
    }

    // Reflection needs any key, health none; what is no method needs one too.
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let asked = client
        .server_streaming(
            tonic::Request::new(Vec::new()),
            path.parse().unwrap(),
            crate::guarded::Bytes,
        )
        .await;
    assert_eq!(asked.unwrap_err().code(), Code::Unauthenticated);
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
    let none = Caller::new(&channel, None).call("ModelService/Nope", Vec::new()).await;
    assert_eq!(none.unwrap_err().code(), Code::Unauthenticated);
    let none = Caller::new(&channel, Some(&admin)).call("ModelService/Nope", Vec::new()).await;
    assert_eq!(none.unwrap_err().code(), Code::Unimplemented);
    drop(channel);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_refuses_what_is_too_fast_and_says_when_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = Guarded::start(folder.path(), support::quiet(), ServeOptions::default()).await;
    let quota = Quota { requests_per_second: 1, burst: 3, bytes_per_second: 0 };
    let spec = KeySpec { quota, ..KeySpec::new("slow", &[Scope::Read], Some("default")) };
    let (_, slow) = server.served.keys.create(spec).unwrap();
    let fast = server.key("fast", &[Scope::Read, Scope::Events], Some("default"));
    let channel = server.channel().await;

    let slow = Caller::new(&channel, Some(slow.reveal()));
    for _ in 0..3 {
        slow.call("CatalogService/ListItems", Vec::new()).await.unwrap();
    }
    let refused = slow.call("CatalogService/ListItems", Vec::new()).await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::ResourceExhausted, "QUOTA_EXCEEDED"));
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    let fast = Caller::new(&channel, Some(&fast));
    for _ in 0..10 {
        fast.call("CatalogService/ListItems", Vec::new()).await.unwrap();
    }
    tokio::time::sleep(wait).await;
    slow.call("CatalogService/ListItems", Vec::new()).await.unwrap();

    // Bytes: a megabyte may come at once, more only in time.
    let quota = Quota { bytes_per_second: 1_000, ..Quota::default() };
    let spec = KeySpec { quota, ..KeySpec::new("thin", &[Scope::Events], Some("default")) };
    let (_, thin) = server.served.keys.create(spec).unwrap();
    let thin = Caller::new(&channel, Some(thin.reveal()));
    let large = vec![0; 900_000];
    let first = thin.call("EventService/WriteEvents", large.clone()).await.unwrap_err();
    assert_eq!(first.code(), Code::InvalidArgument, "the bytes came");
    let second = thin.call("EventService/WriteEvents", large).await.unwrap_err();
    assert_eq!(second.code(), Code::ResourceExhausted);

    // The quota of a store counts all of its callers.
    let quota = Quota { requests_per_second: 1, ..Quota::default() };
    let limits = qianmian::host::Limits { quota, ..Default::default() };
    server.served.host.limit("default", limits).unwrap();
    fast.call("CatalogService/ListItems", Vec::new()).await.unwrap();
    let refused = fast.call("CatalogService/ListItems", Vec::new()).await.unwrap_err();
    assert!(refused.message().contains("to this store"), "{refused:?}");
    drop((channel, slow, fast, thin));
    server.stop().await;
}

/// A stream of events with a key: a sender of batches, and the answers.
async fn stream(
    caller: &Caller,
    channel: &tonic::transport::Channel,
) -> (tokio::sync::mpsc::Sender<pb::StreamEventsRequest>, tonic::Streaming<pb::StreamEventsResponse>)
{
    let (sender, batches) = tokio::sync::mpsc::channel(1);
    let mut request = caller.request(tokio_stream::wrappers::ReceiverStream::new(batches));
    request.set_timeout(Duration::from_secs(60));
    let mut client = EventServiceClient::new(channel.clone());
    (sender, client.stream_events(request).await.unwrap().into_inner())
}

fn batch(user: &str) -> pb::StreamEventsRequest {
    let event = pb::Event {
        kind: pb::EventKind::View.into(),
        user_id: user.into(),
        item_id: "lamp".into(),
        ..Default::default()
    };
    pb::StreamEventsRequest { events: vec![event] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_slowed_down_by_its_quota_and_ends_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let server = Guarded::start(folder.path(), support::quiet(), ServeOptions::default()).await;
    let channel = server.channel().await;

    // Begun while no key was needed.
    let (open, mut answers) = stream(&Caller::new(&channel, None), &channel).await;
    open.send(batch("a")).await.unwrap();
    assert_eq!(answers.message().await.unwrap().unwrap().recorded, 1);

    let quota = Quota { requests_per_second: 4, burst: 2, bytes_per_second: 0 };
    let spec = KeySpec { quota, ..KeySpec::new("slow", &[Scope::Events], Some("default")) };
    let (_, slow) = server.served.keys.create(spec).unwrap();
    open.send(batch("b")).await.unwrap();
    assert_eq!(reason(&answers.message().await.unwrap_err()), "KEY_MISSING");

    let (sender, mut answers) = stream(&Caller::new(&channel, Some(slow.reveal())), &channel).await;
    let began = Instant::now();
    for n in 0..6 {
        sender.send(batch(&format!("u{n}"))).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().recorded, 1);
    }
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());

    server.served.keys.revoke("slow").unwrap();
    sender.send(batch("late")).await.unwrap();
    assert_eq!(reason(&answers.message().await.unwrap_err()), "KEY_REVOKED");
    drop((channel, open, sender, answers));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_command_line_are_in_force_beside_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let server = Process::start(folder.path());
    let channel = server.channel().await;
    let create = |name: &str, scope: &str| {
        let (ok, out, error) =
            run(&["keys", "create", "--name", name, "--scope", scope, "--data", data]);
        assert!(ok, "{error}");
        out.trim().to_owned()
    };

    let shop = create("shop", "read,events");
    let admin = create("ops", "admin");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ask = || async {
        Caller::new(&channel, Some(&shop)).call("CatalogService/ListItems", Vec::new()).await
    };
    ask().await.unwrap();
    let none = Caller::new(&channel, None).call("CatalogService/ListItems", Vec::new()).await;
    assert_eq!(reason(&none.unwrap_err()), "KEY_MISSING");

    // Revoked over the wire: at once, on the connection that is open.
    let key_file = folder.path().join("ops.key");
    std::fs::write(&key_file, format!("{admin}\n")).unwrap();
    let key_file = key_file.to_str().unwrap();
    let with = ["--server", &server.address, "--key-file", key_file];
    let (ok, out, error) = run(&[&["keys"][..], &with].concat());
    assert!(ok && out.contains("shop") && out.contains("read,events"), "{out}{error}");
    assert!(!out.contains("qm_"));
    let (ok, _, error) = run(&[&["keys", "revoke", "shop"][..], &with].concat());
    assert!(ok, "{error}");
    assert_eq!(reason(&ask().await.unwrap_err()), "KEY_REVOKED");

    for (arguments, said) in [
        (
            ["keys", "create", "--name", "shop", "--scope", "read"],
            "there is a key \"shop\" already",
        ),
        (["keys", "create", "--name", "..", "--scope", "read"], "name: must be 1 to 64 of"),
        (["keys", "create", "--name", "x", "--scope", "write"], "must be one of read, events"),
    ] {
        let (ok, _, error) = run(&[&arguments[..], &["--data", data]].concat());
        assert!(!ok && error.contains(said), "{error}");
    }
    let (ok, _, error) = run(&["models", "--server", &server.address]);
    assert!(!ok && error.contains("an API key is needed"), "{error}");
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_tried_in_bulk_are_slowed_down_and_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let server = Guarded::start(folder.path(), support::quiet(), ServeOptions::default()).await;
    let valid = server.key("valid", &[Scope::Read], Some("default"));
    let channel = server.channel().await;

    let began = Instant::now();
    let mut tried = tokio::task::JoinSet::new();
    for n in 0..600 {
        let caller = Caller::new(&channel, Some(&format!("qm_{n:064x}")));
        tried.spawn(async move {
            let refused = caller.call("CatalogService/ListItems", Vec::new()).await.unwrap_err();
            (refused.code(), began.elapsed())
        });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;

    // The answer to a valid key does not wait, from the same address and connection.
    let asked = Instant::now();
    Caller::new(&channel, Some(&valid)).call("CatalogService/ListItems", Vec::new()).await.unwrap();
    assert!(asked.elapsed() < Duration::from_millis(900), "{:?}", asked.elapsed());

    let outcomes = tried.join_all().await;
    let at_once = outcomes.iter().filter(|(code, after)| {
        *code == Code::Unauthenticated && *after < Duration::from_millis(900)
    });
    assert!((20..40).contains(&at_once.count()));
    let allowed = [Code::Unauthenticated, Code::ResourceExhausted];
    assert!(outcomes.iter().all(|(code, _)| allowed.contains(code)));
    assert!(began.elapsed() > Duration::from_secs(1));
    drop(channel);
    server.stop().await;
}

#[test]
fn an_address_that_others_reach_needs_keys_and_tls_or_the_word() {
    let open: std::net::SocketAddr = "0.0.0.0:50051".parse().unwrap();
    let here: std::net::SocketAddr = "127.0.0.1:50051".parse().unwrap();
    let mapped: std::net::SocketAddr = "[::ffff:127.0.0.1]:50051".parse().unwrap();
    let plain = ServeOptions::default();
    plain.check_safe(here, false).unwrap();
    plain.check_safe(mapped, false).unwrap();
    let refused = plain.check_safe(open, false).unwrap_err();
    assert!(
        refused.contains("TLS")
            && refused.contains("API key")
            && refused.contains("serve.insecure")
    );
    assert!(plain.check_safe(open, true).unwrap_err().contains("TLS"));
    let tls = TlsOptions { cert: "c".into(), key: "k".into(), client_ca: "".into() };
    let encrypted = ServeOptions { tls, ..ServeOptions::default() };
    assert!(encrypted.check_safe(open, false).unwrap_err().contains("API key"));
    encrypted.check_safe(open, true).unwrap();
    ServeOptions { insecure: true, ..ServeOptions::default() }.check_safe(open, false).unwrap();

    // The program stops before it opens anything to others.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let (ok, _, error) = run(&["serve", "--listen", "0.0.0.0:0", "--data", data]);
    assert!(!ok && error.contains("where the server starts only with TLS"), "{error}");
}
