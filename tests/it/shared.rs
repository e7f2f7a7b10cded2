//! Servers that share an object store, here a folder: one writes, others follow and take its place, others train.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::model_service_client::ModelServiceClient;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use qianmian::api::wire::pb::user_service_client::UserServiceClient;
use tonic::Code;

use crate::followers::until;
use crate::guarded::reason;
use crate::sharing::{
    LEASE, Shop, asking, buy, buy_some, channel, events, eventually, free_address, generations,
    has_said, items, list, said,
};
use crate::support::{Process, run};

#[tokio::test(flavor = "multi_thread")]
async fn another_server_takes_the_place_of_one_that_is_killed() {
    let shop = Shop::new();
    let safe = |command: &mut Command| {
        command.env("QIANMIAN_OBJECT_STORE__ACKNOWLEDGE_UPLOADED", "true");
    };
    let first = shop.start("serve", "first", safe);
    let second = shop.start("serve", "second", safe);
    let to_second = channel(&second).await;
    eventually("that writes are passed on", async || buy(&to_second, "0", "a", "x").await.ok())
        .await;

    // Acknowledged one by one, to the moment of the kill and beyond it.
    let mut first = Some(first);
    let mut acknowledged = vec!["0".to_owned()];
    let mut refused = 0;
    for n in 1..60 {
        if n == 20 {
            first.take().unwrap().kill();
        }
        let id = n.to_string();
        eventually("that a server writes", async || {
            let channel = second.try_channel().await.ok()?;
            let written = buy(&channel, &id, "a", "x").await;
            refused += usize::from(written.is_err());
            written.ok()
        })
        .await;
        acknowledged.push(id);
    }
    assert!(refused > 0, "for the time of a lease none writes");
    assert!(has_said(&second, "this server writes"));

    // The first one comes back, and follows; what it had written and not acknowledged is set aside.
    let first = shop.start("serve", "first", safe);
    let offset = buy(&channel(&second).await, "last", "a", "y").await.unwrap();
    acknowledged.push("last".to_owned());
    eventually("that the first one follows", async || {
        let mut request = tonic::Request::new(asking("a"));
        let offset = offset.to_string().parse().unwrap();
        request.metadata_mut().insert("qianmian-min-offset", offset);
        let mut client = RecommendationServiceClient::new(channel(&first).await);
        let answer = client.recommend(request).await.ok()?;
        answer.metadata().get("qianmian-offset").map(|_| ())
    })
    .await;

    assert!(second.terminate() && first.terminate());
    for name in ["second", "first"] {
        let events = events(&shop.data(name));
        for id in &acknowledged {
            assert_eq!(events.get(id), Some(&1), "{name}: {id}");
        }
        assert_eq!(events.len(), acknowledged.len(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_alone_that_is_killed_writes_again_once_its_lease_has_ended() {
    let shop = Shop::new();
    let address = free_address();
    let server = shop.start_at("serve", &address, "alone", |_| {});
    buy(&channel(&server).await, "first", "a", "x").await.unwrap();
    server.kill();

    // The object store names the address of this same server as the one that writes.
    let server = shop.start_at("serve", &address, "alone", |_| {});
    until("that it knows the address", || {
        has_said(&server, "writes are passed on to another server")
    })
    .await;
    let refused = buy(&channel(&server).await, "second", "a", "y").await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unavailable, "PRIMARY_AWAY"));
    eventually("that it writes again", async || {
        let channel = server.try_channel().await.ok()?;
        buy(&channel, "second", "a", "y").await.ok()
    })
    .await;
    assert!(server.terminate());
    let events = events(&shop.data("alone"));
    assert_eq!(events, BTreeMap::from([("first".to_owned(), 1), ("second".to_owned(), 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_leaves_its_place_at_once_with_all_that_it_wrote() {
    let shop = Shop::new();
    let first = shop.serve("first");
    let second = shop.serve("second");
    let trainer = shop.start("trainer", "trainer", |command| {
        command.env("QIANMIAN_TRAIN__AUTOMATIC", "false");
    });
    let to_first = channel(&first).await;
    buy_some(&to_first, "e", 30).await;
    let request = pb::TrainRequest::default();
    ModelServiceClient::new(to_first.clone()).train(request).await.unwrap();
    eventually("a model", async || generations(&to_first).await.first().copied()).await;

    // All answer alike.
    let to_second = channel(&second).await;
    let to_trainer = channel(&trainer).await;
    for user in ["user-1", "user-7", "stranger"] {
        for copy in [&to_second, &to_trainer] {
            eventually("that copies answer alike", async || {
                // A model is listed a moment before it answers.
                let expected = items(&to_first, user).await;
                let listed = list(copy, user).await.ok()?;
                let items: Vec<_> = listed.items.into_iter().map(|item| item.item_id).collect();
                (!listed.stale && items == expected).then_some(())
            })
            .await;
        }
    }

    let last = buy(&to_first, "last", "user-1", "item-8").await.unwrap();
    assert!(last > 0);
    let began = Instant::now();
    assert!(first.terminate());
    until("that the second one writes", || has_said(&second, "this server writes")).await;
    assert!(began.elapsed() < LEASE, "it waits for no lease: {:?}", began.elapsed());
    assert!(!has_said(&trainer, "this server writes"));
    assert!(second.terminate());
    assert_eq!(events(&shop.data("second")).get("last"), Some(&1));
    assert_eq!(events(&shop.data("second")).len(), 121);
}

#[tokio::test(flavor = "multi_thread")]
async fn trainers_follow_each_other_and_nothing_is_published_twice() {
    let shop = Shop::new();
    let writer = shop.start("serve", "writer", |command| {
        command.env("QIANMIAN_OBJECT_STORE__MAY_TRAIN", "false");
        command.env("QIANMIAN_TRAIN__AUTOMATIC", "true");
    });
    let to_writer = channel(&writer).await;
    buy_some(&to_writer, "e", 20).await;
    let eager = |command: &mut Command| {
        command.env("QIANMIAN_TRAIN__AUTOMATIC", "true").env("QIANMIAN_TRAIN__NEW_EVENTS", "10");
    };
    let first = shop.start("trainer", "first", eager);
    eventually("a first model", async || {
        generations(&to_writer).await.first().copied().filter(|&newest| newest >= 1)
    })
    .await;
    assert!(!has_said(&writer, "the trainer begins"), "it may not train");
    let second = shop.start("trainer", "second", eager);

    // Killed as it begins.
    let before = said(&first, "the trainer begins");
    buy_some(&to_writer, "f", 20).await;
    until("that it trains again", || said(&first, "the trainer begins") > before).await;
    first.kill();
    let newest = *generations(&to_writer).await.iter().max().unwrap();
    let began = Instant::now();
    buy_some(&to_writer, "g", 20).await;
    eventually("the next model", async || {
        generations(&to_writer).await.into_iter().find(|&next| next > newest)
    })
    .await;
    assert!(began.elapsed() < LEASE * 4, "{:?}", began.elapsed());
    assert!(has_said(&second, "this server trains"));

    // A model is there a moment before the log says so.
    const PUBLISHED: &str = "model of another trainer published";
    until("that it is said", || said(&writer, PUBLISHED) >= 2).await;
    let lines = writer.log();
    let published: Vec<u64> = lines
        .iter()
        .filter(|line| line["fields"]["message"] == PUBLISHED)
        .map(|line| line["fields"]["generation"].as_u64().unwrap())
        .collect();
    assert!(published.is_sorted_by(|a, b| a < b), "{published:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_is_in_no_object_once_the_time_is_over() {
    const NAME: &str = "qzxjkvwpfb-erased-gmtlryhdnc";
    let shop = Shop::new();
    let keep = |command: &mut Command| {
        command.env("QIANMIAN_OBJECT_STORE__KEEP_SECONDS", "10");
        command.env("QIANMIAN_TRAIN__AUTOMATIC", "true");
    };
    let writer = shop.start("serve", "writer", keep);
    let to_writer = channel(&writer).await;
    buy(&to_writer, "of-the-erased", NAME, "item-1").await.unwrap();
    buy_some(&to_writer, "e", 20).await;
    eventually("a model", async || generations(&to_writer).await.first().copied()).await;
    until("that the name is uploaded", || holds(&shop.shared(), NAME)).await;

    let request = pb::DeleteUserRequest { user_id: NAME.to_owned() };
    UserServiceClient::new(to_writer.clone()).delete_user(request).await.unwrap();
    until("that the name is gone", || !holds(&shop.shared(), NAME)).await;

    // What is left is whole: a new server has everything else from it.
    let copy = shop.serve("copy");
    let expected = items(&to_writer, "user-3").await;
    eventually("a copy", async || {
        let listed = list(&channel(&copy).await, "user-3").await.ok()?;
        let items: Vec<_> = listed.items.into_iter().map(|item| item.item_id).collect();
        (!listed.stale && items == expected).then_some(())
    })
    .await;
}

/// Whether any file below a folder holds a text.
fn holds(folder: &Path, text: &str) -> bool {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.into_iter().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, text);
        }
        // One that was deleted meanwhile holds nothing.
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// Creates a key in a data folder; returns its secret.
fn key(data: &Path, name: &str) -> String {
    let data = data.to_str().unwrap();
    let (done, printed, error) =
        run(&["keys", "create", "--name", name, "--scope", "read", "--data", data]);
    assert!(done, "{error}");
    printed.split_whitespace().find(|word| word.starts_with("qm_")).unwrap().to_owned()
}

/// The code of a list that is asked for with a key.
async fn with_key(process: &Process, secret: &str) -> Code {
    let mut request = tonic::Request::new(asking("a"));
    let bearer = format!("Bearer {secret}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    let mut client = RecommendationServiceClient::new(channel(process).await);
    client.recommend(request).await.map_or_else(|refused| refused.code(), |_| Code::Ok)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_never_answers_without_the_keys_and_brings_none_back() {
    let shop = Shop::new();
    let (kept, revoked) = (key(&shop.data("writer"), "kept"), key(&shop.data("writer"), "old"));
    let writer = shop.serve("writer");
    until("that keys are uploaded", || {
        let note = std::fs::read_to_string(shop.shared().join("WRITER")).unwrap_or_default();
        note.contains("\"server\": \"")
    })
    .await;

    let copy = shop.serve("copy");
    let refused = list(&channel(&copy).await, "a").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "from its first answer on");
    assert_ne!(with_key(&copy, &kept).await, Code::Unauthenticated);
    assert_ne!(with_key(&copy, &revoked).await, Code::Unauthenticated);
    let remembered = shop.data("copy").join("SHARED");
    until("that the copy has all of the keys and stores", || remembered.exists()).await;
    assert!(copy.terminate());

    // Revoked while the copy is away; nothing else is written.
    let data = shop.data("writer");
    let (done, _, error) = run(&["keys", "revoke", "old", "--data", data.to_str().unwrap()]);
    assert!(done, "{error}");
    eventually("that the key is revoked", async || {
        (with_key(&writer, &revoked).await == Code::Unauthenticated).then_some(())
    })
    .await;
    assert!(writer.terminate());
    let copy = shop.serve("copy");
    until("that the copy writes", || has_said(&copy, "this server writes")).await;
    assert_ne!(with_key(&copy, &kept).await, Code::Unauthenticated);
    assert_eq!(with_key(&copy, &revoked).await, Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_all_is_uploaded_only_the_server_that_has_it_writes() {
    let shop = Shop::new();
    std::fs::create_dir(shop.shared()).unwrap();
    // Nothing can be uploaded but who writes.
    let objects = shop.shared().join("objects");
    std::fs::write(&objects, "").unwrap();
    let first = shop.serve("first");
    buy_some(&channel(&first).await, "e", 5).await;
    let second = shop.serve("second");
    until("that writes are passed on", || {
        has_said(&second, "writes are passed on to another server")
    })
    .await;

    first.kill();
    until("that the second one says why it does not write", || {
        has_said(&second, "this server does not find one that writes")
    })
    .await;
    // Nor does it where an operator takes the object away.
    let note = shop.shared().join("WRITER");
    let announced = std::fs::read(&note).unwrap();
    std::fs::remove_file(&note).unwrap();
    tokio::time::sleep(2 * LEASE).await;
    assert!(!has_said(&second, "this server writes"));
    std::fs::write(&note, announced).unwrap();
    std::fs::remove_file(&objects).unwrap();
    let first = shop.serve("first");
    until("that the first one writes again", || has_said(&first, "this server writes")).await;
    let to_second = channel(&second).await;
    eventually("that the second one has the log", async || {
        list(&to_second, "user-1").await.ok().filter(|listed| !listed.stale)
    })
    .await;
    assert!(first.terminate());
    until("that the second one writes", || has_said(&second, "this server writes")).await;
    assert!(second.terminate());
    assert_eq!(events(&shop.data("first")).len(), 20);
    assert_eq!(events(&shop.data("first")), events(&shop.data("second")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_shop_keeps_its_models_and_follows_nothing() {
    let (shop, other) = (Shop::new(), Shop::new());
    for (shop, users) in [(&shop, 4), (&other, 6)] {
        let server = shop.serve("a");
        let to_server = channel(&server).await;
        buy_some(&to_server, "e", users).await;
        for generation in 1..=users as u64 / 3 {
            let request = pb::TrainRequest::default();
            ModelServiceClient::new(to_server.clone()).train(request).await.unwrap();
            eventually("the model", async || {
                generations(&to_server).await.contains(&generation).then_some(())
            })
            .await;
        }
        assert!(server.terminate());
    }

    let writer = shop.serve("a");
    until("that it writes", || has_said(&writer, "this server writes")).await;
    let other = Shop { url: shop.url.clone(), ..other };
    let stranger = other.serve("a");
    until("that it says what it is", || {
        let lines = stranger.log();
        let mut reasons = lines.iter().filter_map(|line| line["fields"]["reason"].as_str());
        reasons.any(|reason| reason.contains("holds another store default than file://"))
    })
    .await;
    tokio::time::sleep(LEASE).await;
    let to_stranger = channel(&stranger).await;
    assert_eq!(generations(&to_stranger).await, [2, 1]);
    assert!(list(&to_stranger, "user-5").await.unwrap().stale);
    assert!(stranger.terminate() && writer.terminate());
    assert!(!other.data("a").join("apart").exists());
}

/// A URL with a slip in it names an object store in which no server is.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_begins_another_share_says_so() {
    const BEGINS: &str = "this folder has shared an object store before, and in this one no server is yet: it begins anew";
    let (shop, other) = (Shop::new(), Shop::new());
    let first = shop.serve("a");
    channel(&first).await;
    assert!(!has_said(&first, BEGINS));
    assert!(first.terminate());

    let mistyped = Shop { url: other.url.clone(), ..shop };
    let second = mistyped.serve("a");
    channel(&second).await;
    assert!(has_said(&second, BEGINS));
}

#[test]
fn an_object_store_of_a_newer_version_is_refused_by_name() {
    let shop = Shop::new();
    let shared = shop.shared();
    std::fs::create_dir(&shared).unwrap();
    let note = r#"{"format":99,"version":"9.9.9","seat":{"holder":"x","beat":1,"after":0,"lease_ms":1,"is_left":true},"address":"","server":null,"stores":{}}"#;
    let sealed =
        qianmian::store::sealed::seal(&serde_json::from_str::<serde_json::Value>(note).unwrap());
    std::fs::write(shared.join("WRITER"), sealed.unwrap()).unwrap();
    let (done, _, error) = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        shop.data("a").to_str().unwrap(),
        "--store",
        &shop.url,
    ]);
    assert!(!done && error.contains("version 9.9.9") && error.contains("format 99"), "{error}");

    let (done, _, error) = run(&["popular", "--store", &shop.url]);
    assert!(!done && error.contains("only servers share an object store"), "{error}");
}
