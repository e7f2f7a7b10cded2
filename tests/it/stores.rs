//! Several stores in one process: none sees another, each has its limits.

use std::time::Duration;

use proptest::prelude::any;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};
use qianmian::access::Scope;
use qianmian::api::ServeOptions;
use qianmian::api::wire::pb;
use qianmian::domain::{Item, User};
use qianmian::engine::Engine;
use qianmian::host::{Host, Limits};
use tonic::Code;

use crate::guarded::{Caller, Guarded, reason};
use crate::support::{self, purchases, run, trained};

/// What only the other store holds: no answer may have it.
const SECRET: &str = "zzsecretzz";

/// Ids of the other store, which every text of a request is drawn from.
const POOL: [&str; 7] = ["anna", "lamp", "desk", "1", "2", "push-of-other", ""];

/// A random message of a type, by the protocol's descriptors.
fn message(
    set: &FileDescriptorSet,
    of: &str,
    draw: &mut impl FnMut(usize) -> usize,
    deep: usize,
) -> Vec<u8> {
    let Some(shape) = shape(set, of) else { return Vec::new() };
    let mut bytes = Vec::new();
    for field in &shape.field {
        let times = match (field.label(), draw(4)) {
            (_, 0) => 0,
            (Label::Repeated, n) => n,
            _ => 1,
        };
        for _ in 0..times {
            let tag = |wire: u32| (field.number() as u64) << 3 | u64::from(wire);
            match field.r#type() {
                Type::String | Type::Bytes => {
                    put(&mut bytes, tag(2));
                    delimited(&mut bytes, POOL[draw(POOL.len())].as_bytes());
                }
                Type::Message if deep < 4 => {
                    let inner = message(set, field.type_name(), draw, deep + 1);
                    put(&mut bytes, tag(2));
                    delimited(&mut bytes, &inner);
                }
                Type::Message => {}
                Type::Double => {
                    put(&mut bytes, tag(1));
                    bytes.extend((draw(3) as f64).to_le_bytes());
                }
                Type::Float => {
                    put(&mut bytes, tag(5));
                    bytes.extend((draw(3) as f32).to_le_bytes());
                }
                _ => {
                    put(&mut bytes, tag(0));
                    put(&mut bytes, draw(6) as u64);
                }
            }
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, number: u64) {
    prost::encoding::encode_varint(number, bytes);
}

fn delimited(bytes: &mut Vec<u8>, inner: &[u8]) {
    put(bytes, inner.len() as u64);
    bytes.extend_from_slice(inner);
}

fn shape<'s>(set: &'s FileDescriptorSet, name: &str) -> Option<&'s DescriptorProto> {
    fn within<'s>(all: &'s [DescriptorProto], path: &[&str]) -> Option<&'s DescriptorProto> {
        let (first, rest) = path.split_first()?;
        let found = all.iter().find(|shape| shape.name() == *first)?;
        if rest.is_empty() { Some(found) } else { within(&found.nested_type, rest) }
    }
    set.file.iter().find_map(|file| {
        let rest = name.strip_prefix(&format!(".{}.", file.package()))?;
        within(&file.message_type, &rest.split('.').collect::<Vec<_>>())
    })
}

/// What must stay the same in a store, whatever another store's callers do.
fn state(engine: &Engine) -> impl PartialEq + std::fmt::Debug + use<> {
    let models = engine.models().list().unwrap();
    let roles: Vec<String> = models.iter().map(|m| format!("{m:?}")).collect();
    (engine.live().offset(), engine.generation(), roles, engine.live().events())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_names_anything_of_another_store() {
    let folder = tempfile::tempdir().unwrap();
    let server = Guarded::start(folder.path(), support::quiet(), ServeOptions::default()).await;
    server.served.host.create("eu", Limits::default()).unwrap();
    let other = server.served.host.store("default").unwrap().engine.clone();
    let own = server.served.host.store("eu").unwrap().engine.clone();

    // The other store: everything that is reached from its ids holds the secret.
    let hidden = |n: usize| format!("{SECRET}-{n}");
    let mut rows =
        vec![("anna".to_owned(), "lamp".to_owned(), 1), ("anna".to_owned(), "desk".to_owned(), 2)];
    for n in 0..6 {
        rows.push((hidden(n), "lamp".to_owned(), 1));
        rows.push((hidden(n), hidden(100 + n % 3), 2));
    }
    let rows: Vec<(&str, &str, i64)> = rows.iter().map(|(u, i, d)| (&**u, &**i, *d)).collect();
    other.writer().record(purchases(&rows)).await.unwrap();
    for id in ["lamp", "desk"] {
        let item = Item { title: SECRET.to_owned(), brand: SECRET.to_owned(), ..Item::default() };
        other.writer().upsert_items(vec![(id.to_owned(), item)]).await.unwrap();
    }
    let user =
        User { attributes: [("country".to_owned(), SECRET.to_owned())].into(), consent: true };
    other.writer().upsert_users(vec![("anna".to_owned(), user)]).await.unwrap();
    trained(&other).await;
    trained(&other).await;
    own.writer().record(purchases(&[("u", "a", 1), ("u", "b", 1), ("v", "a", 1)])).await.unwrap();
    trained(&own).await;

    let all = [Scope::Read, Scope::Events, Scope::Catalog, Scope::Users, Scope::Models];
    let key = server.key("eu", &all, Some("eu"));
    let channel = server.channel().await;
    let caller = Caller::new(&channel, Some(&key));
    // The same questions get the secret where the store is the one that has it.
    let probe = pb::GetItemRequest { item_id: "lamp".into() }.encode_to_vec();
    let admin = server.key("ops", &[Scope::Admin], None);
    let seen =
        Caller::new(&channel, Some(&admin)).call("CatalogService/GetItem", probe).await.unwrap();
    assert!(String::from_utf8_lossy(&seen).contains(SECRET));

    let set = FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap();
    let mut methods = Vec::new();
    for service in set.file.iter().filter(|f| f.package() == "qianmian.v1").flat_map(|f| &f.service)
    {
        for method in &service.method {
            methods.push((
                format!("{}/{}", service.name(), method.name()),
                method.input_type().to_owned(),
            ));
        }
    }
    assert!(methods.len() > 30);

    let before = state(&other);
    let mut runner = TestRunner::deterministic();
    let seeds = proptest::collection::vec(any::<u32>(), 64);
    for round in 0..12 {
        for (method, input) in &methods {
            let seed = seeds.new_tree(&mut runner).unwrap().current();
            let mut at = 0;
            let mut draw = |below: usize| {
                at += 1;
                seed[at % seed.len()] as usize % below
            };
            let request = message(&set, input, &mut draw, 0);
            // A training would take the time of all others here.
            if method == "ModelService/Train" && round > 0 {
                continue;
            }
            let text = match caller.call(method, request).await {
                Ok(answer) => String::from_utf8_lossy(&answer).into_owned(),
                Err(status) => {
                    assert_ne!(status.code(), Code::Internal, "{method}: {status:?}");
                    format!("{status:?}")
                }
            };
            assert!(!text.contains(SECRET), "{method}: {text}");
        }
    }
    assert_eq!(state(&other), before);
    drop((channel, caller, other, own));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_are_created_limited_and_deleted_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let server = Guarded::start(folder.path(), support::quiet(), ServeOptions::default()).await;
    let admin = server.key("ops", &[Scope::Admin], None);
    let key_file = folder.path().join("ops.key");
    std::fs::write(&key_file, &admin).unwrap();
    let address = server.address.clone();
    let cli = |arguments: &[&str]| {
        let with = ["--server", &address, "--key-file", key_file.to_str().unwrap()];
        tokio::task::block_in_place(|| run(&[arguments, &with].concat()))
    };

    let (ok, _, error) = cli(&["stores", "create", "eu", "--max-users", "2"]);
    assert!(ok, "{error}");
    for (name, said) in [
        ("eu", "there is a store \"eu\" already"),
        ("..", "name: must be 1 to 64 of"),
        ("a/b", "name: must be 1 to 64 of"),
        ("", "name: must be 1 to 64 of"),
        ("default", "there is a store \"default\" already"),
    ] {
        let (ok, _, error) = cli(&["stores", "create", name]);
        assert!(!ok && error.contains(said), "{name}: {error}");
    }
    let (ok, _, error) =
        cli(&["keys", "create", "--name", "k", "--scope", "read", "--store", "us"]);
    assert!(!ok && error.contains("store \"us\" is not known"), "{error}");
    let (ok, shop, error) =
        cli(&["keys", "create", "--name", "eu", "--scope", "events,read", "--store", "eu"]);
    assert!(ok, "{error}");

    // Its own limits, on users and on memory.
    let channel = server.channel().await;
    let shop = Caller::new(&channel, Some(shop.trim()));
    let write = |user: &str| {
        let event = pb::Event {
            kind: pb::EventKind::Purchase.into(),
            user_id: user.into(),
            item_id: "x".into(),
            ..Default::default()
        };
        pb::WriteEventsRequest { events: vec![event] }.encode_to_vec()
    };
    for user in ["a", "b"] {
        shop.call("EventService/WriteEvents", write(user)).await.unwrap();
    }
    let full = shop.call("EventService/WriteEvents", write("c")).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
    assert!(full.message().contains("takes 2 users"), "{full:?}");
    let (ok, ..) = cli(&["stores", "limit", "eu", "--memory-mib", "1"]);
    assert!(ok);
    let user = pb::User {
        user_id: "c".into(),
        attributes: (0..64).map(|n| (n.to_string(), "x".repeat(256))).collect(),
        consent: 0,
    };
    let users = pb::UpsertUsersRequest {
        users: (0..80).map(|n| pb::User { user_id: format!("u{n}"), ..user.clone() }).collect(),
    };
    let ops = Caller::new(&channel, Some(&admin)).of_store("eu");
    ops.call("UserService/UpsertUsers", users.encode_to_vec()).await.unwrap();
    let full = shop.call("EventService/WriteEvents", write("d")).await.unwrap_err();
    assert!(full.message().contains("may hold 1 (memory_mib of its limits)"), "{full:?}");
    let (ok, out, _) = cli(&["stores", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(ok && listed[1]["name"] == "eu" && listed[1]["memory_mib"] == 1, "{out}");
    assert!(listed[1]["memory_bytes"].as_u64().unwrap() > 1 << 20 && listed[0]["events"] == 0);

    // Deleted: its key opens nothing, and its name is free and empty again.
    let (ok, _, error) = cli(&["stores", "delete", "default"]);
    assert!(!ok && error.contains("cannot be deleted"), "{error}");
    let (ok, _, error) = cli(&["stores", "delete", "eu"]);
    assert!(ok, "{error}");
    let gone = shop.call("EventService/WriteEvents", write("a")).await.unwrap_err();
    assert_eq!(reason(&gone), "KEY_REVOKED");
    assert_eq!(
        ops.call("EventService/WriteEvents", write("a")).await.unwrap_err().code(),
        Code::NotFound
    );
    assert!(!folder.path().join("stores/eu").exists());
    assert_eq!(std::fs::read_dir(folder.path().join("deleted")).unwrap().count(), 0);
    let (ok, _, error) = cli(&["stores", "create", "eu"]);
    assert!(ok, "{error}");
    let other = shop.call("EventService/WriteEvents", write("c")).await.unwrap_err();
    assert_eq!(reason(&other), "KEY_REVOKED", "a key of the store before");
    ops.call("EventService/WriteEvents", write("c")).await.unwrap();
    let listed = ops.call("UserService/ListUsers", Vec::new()).await.unwrap();
    assert!(!String::from_utf8_lossy(&listed).contains("u7"), "nothing of the store before");
    drop((channel, shop, ops));
    server.stop().await;

    // A restart finds them, and the command line works on one.
    let data = folder.path().to_str().unwrap();
    let (ok, out, error) = run(&["stores", "--data", data]);
    assert!(ok && out.contains("default") && out.contains("eu"), "{out}{error}");
    let (ok, out, error) = run(&["recommend", "c", "--data", data, "--store", "eu"]);
    assert!(ok && out.contains("popular"), "{out}{error}");
    let (ok, _, error) = run(&["recommend", "c", "--data", data, "--store", "us"]);
    assert!(!ok && error.contains("there is no store us"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_open_leaves_the_others() {
    let folder = tempfile::tempdir().unwrap();
    {
        let host = Host::open(folder.path(), support::quiet()).unwrap();
        for name in ["a", "b"] {
            let store = host.create(name, Limits::default()).unwrap();
            store.engine.writer().record(purchases(&[("u", "x", 1)])).await.unwrap();
        }
    }
    let log = folder.path().join("stores/a/log");
    let segment = std::fs::read_dir(&log).unwrap().map(|e| e.unwrap().path()).find(|path| {
        path.extension().is_some_and(|extension| extension == "log" || extension == "seg")
    });
    let segment = segment.unwrap_or_else(|| panic!("a segment in {log:?}"));
    std::fs::write(&segment, b"nothing").unwrap();
    // A deletion that was cut short, and what is no store.
    std::fs::create_dir_all(folder.path().join("deleted/old-1/log")).unwrap();
    std::fs::create_dir(folder.path().join("stores/lost+found")).unwrap();

    let server = Guarded::start(folder.path(), support::quiet(), ServeOptions::default()).await;
    let channel = server.channel().await;
    let open = Caller::new(&channel, None);
    let of = |name: &str| {
        let caller = open.clone().of_store(name);
        async move { caller.call("CatalogService/ListItems", Vec::new()).await }
    };
    assert_eq!(of("a").await.unwrap_err().code(), Code::Unavailable);
    of("b").await.unwrap();
    of("default").await.unwrap();
    assert_eq!(of("lost+found").await.unwrap_err().code(), Code::NotFound);
    let listed = server.served.host.list();
    let names: Vec<&str> = listed.iter().map(|listed| &*listed.name).collect();
    assert_eq!(names, ["a", "b", "default"]);
    assert!(listed[0].store.as_ref().unwrap_err().contains("damaged"), "{listed:?}");
    assert!(!folder.path().join("deleted/old-1").exists());
    drop((channel, open, listed));
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop().await;
}
