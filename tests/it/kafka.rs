//! Topics of a real Kafka broker that a server takes in.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use prost::Message as _;
use qianmian::api::wire::pb;
use qianmian::api::wire::pb::catalog_service_client::CatalogServiceClient;
use qianmian::api::wire::pb::user_service_client::UserServiceClient;
use rdkafka::message::Message as _;
use tonic::Code;
use tonic_types::StatusExt;

use crate::broker::{Broker, header, send, send_all};
use crate::followers::until;
use crate::guarded::reason;
use crate::sharing::{Shop, channel, events, eventually, free_address, has_said, list, said};
use crate::support::Process;

/// A purchase in JSON, without its user, whom the key names.
fn bought(id: &str, item: &str) -> Vec<u8> {
    format!(r#"{{"event_id": "{id}", "kind": "EVENT_KIND_PURCHASE", "item_id": "{item}"}}"#)
        .into_bytes()
}

/// Settings of a server that takes in the topics of a broker, all of whose names begin with `prefix`.
fn topics(command: &mut Command, broker: &Broker, prefix: &str) {
    command.env("QIANMIAN_KAFKA__BROKERS", &broker.address);
    for (setting, name) in
        [("EVENTS", "events"), ("ITEMS", "items"), ("USERS", "users"), ("DEAD_LETTERS", "dead")]
    {
        command.env(format!("QIANMIAN_KAFKA__{setting}"), format!("{prefix}-{name}"));
    }
}

async fn create_topics(broker: &Broker, prefix: &str) {
    for (name, partitions) in [("events", 3), ("items", 1), ("users", 1), ("dead", 1)] {
        broker.create(&format!("{prefix}-{name}"), partitions, &[]).await;
    }
}

fn serve(data: &Path, broker: &Broker, prefix: &str) -> Process {
    Process::start_with(data, |command| topics(command, broker, prefix))
}

/// A figure of the metrics page; none where it is not there.
fn figure(process: &Process, name: &str) -> Option<f64> {
    let (_, _, page) = process.get("/metrics");
    let values = page.lines().filter(|line| line.starts_with(name));
    values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).reduce(f64::max)
}

/// Waits until the server has taken in, or refused, this number of messages since it started.
async fn taken_in(process: &Process, messages: f64) {
    let counted = || figure(process, "qianmian_topic_messages_total") == Some(messages);
    until("that the messages are taken in", counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_items_and_users_of_topics_are_taken_in() {
    let Some(broker) = Broker::start().await else { return };
    create_topics(&broker, "shop").await;
    let producer = broker.producer();
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), &broker, "shop");
    let to_server = channel(&server).await;

    // In JSON and in protobuf, a retry of the shop, and what is no message.
    send(&producer, "shop-events", None, "ada", Some(&bought("e1", "tea"))).await;
    send(&producer, "shop-events", None, "ada", Some(&bought("e1", "tea"))).await;
    let event = pb::Event {
        event_id: "e2".into(),
        kind: pb::EventKind::Purchase.into(),
        user_id: "bob".into(),
        item_id: "cup".into(),
        ..Default::default()
    };
    send(&producer, "shop-events", None, "bob", Some(&event.encode_to_vec())).await;
    send(&producer, "shop-events", Some(1), "ada", Some(b"nonsense")).await;
    send(&producer, "shop-events", None, "eve", Some(&event.encode_to_vec())).await;
    send(&producer, "shop-items", None, "tea", Some(br#"{"title": "Black tea"}"#)).await;
    send(&producer, "shop-items", None, "tea", Some(br#"{"title": "Green tea"}"#)).await;
    send(&producer, "shop-items", None, "old", Some(br#"{"title": "Old"}"#)).await;
    send(&producer, "shop-items", None, "old", None).await;
    let user = br#"{"attributes": {"country": "DE"}}"#;
    send(&producer, "shop-users", None, "ada", Some(user)).await;
    taken_in(&server, 10.0).await;

    let mut catalog = CatalogServiceClient::new(to_server.clone());
    let request = |id: &str| pb::GetItemRequest { item_id: id.to_owned() };
    let tea = catalog.get_item(request("tea")).await.unwrap().into_inner();
    assert_eq!(tea.item.unwrap().title, "Green tea");
    assert_eq!(catalog.get_item(request("old")).await.unwrap_err().code(), Code::NotFound);
    let request = pb::GetUserRequest { user_id: "ada".to_owned() };
    let mut users = UserServiceClient::new(to_server.clone());
    let ada = users.get_user(request).await.unwrap().into_inner().user.unwrap();
    assert_eq!(ada.attributes["country"], "DE");
    assert_eq!(figure(&server, "qianmian_events_total"), Some(2.0), "a retry counts once");
    assert_eq!(figure(&server, "qianmian_topics_read"), Some(1.0));

    // What is refused is where a person finds it, whole, with the reason.
    let letters = broker.messages("shop-dead").await;
    let reasons: BTreeMap<_, _> = letters
        .iter()
        .map(|letter| {
            assert_eq!(header(letter, "qianmian-topic"), "shop-events");
            let key = String::from_utf8(letter.key().unwrap().to_vec()).unwrap();
            (key, header(letter, "qianmian-reason"))
        })
        .collect();
    assert_eq!(letters.len(), 2);
    assert!(reasons["ada"].contains("neither a JSON object nor protobuf"), "{reasons:?}");
    assert!(reasons["eve"].contains("key: must be the user_id"), "{reasons:?}");
    let nonsense = letters.iter().find(|letter| letter.key() == Some(b"ada")).unwrap();
    assert_eq!(nonsense.payload(), Some(&b"nonsense"[..]));
    assert_eq!(header(nonsense, "qianmian-partition"), "1");
    assert_eq!(figure(&server, "qianmian_topic_messages_refused_total"), Some(2.0));

    // A partition that is added is read from its beginning.
    broker.grow("shop-events", 4).await;
    let partitioned = broker.producer();
    send(&partitioned, "shop-events", Some(3), "ada", Some(&bought("e3", "cup"))).await;
    taken_in(&server, 11.0).await;
    until("that nothing is behind", || {
        figure(&server, "qianmian_topic_behind_messages") == Some(0.0)
    })
    .await;

    // A message without a value erases; so does the api, also what is in the topic and not taken in yet.
    send(&producer, "shop-events", None, "bob", None).await;
    taken_in(&server, 12.0).await;
    let request = |id: &str| pb::GetUserRequest { user_id: id.to_owned() };
    assert_eq!(users.get_user(request("bob")).await.unwrap_err().code(), Code::NotFound);
    let more = (0..5_000).map(|n| ("ada".to_owned(), bought(&format!("late-{n}"), "tea")));
    send_all(&producer, "shop-events", more).await;
    users.delete_user(pb::DeleteUserRequest { user_id: "ada".to_owned() }).await.unwrap();
    assert_eq!(users.get_user(request("ada")).await.unwrap_err().code(), Code::NotFound);
    taken_in(&server, 5_012.0).await;
    assert_eq!(users.get_user(request("ada")).await.unwrap_err().code(), Code::NotFound);
    assert!(server.terminate());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_taken_in_once_whatever_is_killed() {
    let Some(mut broker) = Broker::start().await else { return };
    create_topics(&broker, "kill").await;
    let producer = broker.producer();
    let folder = tempfile::tempdir().unwrap();
    let mut sent = 0;
    for round in 0..6 {
        let server = serve(folder.path(), &broker, "kill");
        let wave = sent..sent + 4_000;
        sent = wave.end;
        let wave = wave.map(|n| (format!("user-{}", n % 97), bought(&format!("e-{n}"), "tea")));
        let sending = send_all(&producer, "kill-events", wave);
        let killing = async {
            tokio::time::sleep(Duration::from_millis(100 + 150 * round)).await;
            server.kill();
        };
        tokio::join!(sending, killing);
    }

    // Without a broker lists go on, and an erasure waits: what is in the topic may name the user.
    broker.kill();
    let server = serve(folder.path(), &broker, "kill");
    let to_server = channel(&server).await;
    assert!(list(&to_server, "user-1").await.is_ok());
    until("that it is said", || has_said(&server, "the topics are not taken in")).await;
    broker.restart().await;
    until("that all is taken in", || {
        figure(&server, "qianmian_topic_behind_messages") == Some(0.0)
            && figure(&server, "qianmian_log_offset") >= Some(f64::from(sent))
    })
    .await;
    broker.kill();
    let request = pb::DeleteUserRequest { user_id: "user-1".to_owned() };
    let refused = UserServiceClient::new(to_server).delete_user(request).await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unavailable, "TOPICS_AWAY"));
    assert!(refused.get_details_retry_info().is_some());
    until("that it is seen", || figure(&server, "qianmian_topics_read") == Some(0.0)).await;
    assert!(server.terminate());

    // What is there of the user is erased all the same.
    let found = events(folder.path());
    assert_eq!(found.len(), (0..sent).filter(|n| n % 97 != 1).count());
    assert!(found.values().all(|&times| times == 1));
}

/// The server that writes is killed: the next one goes on from its copy of the log.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_goes_on_where_its_copy_of_the_log_ends() {
    let Some(broker) = Broker::start().await else { return };
    create_topics(&broker, "two").await;
    let producer = broker.producer();
    let shop = Shop::new();
    let start = |name: &str| {
        shop.start("serve", name, |command| {
            topics(command, &broker, "two");
            // The same once it writes.
            command.env("QIANMIAN_SERVE__ADMIN_LISTEN", free_address());
        })
    };
    let first = start("first");
    channel(&first).await;
    let second = start("second");
    let to_second = channel(&second).await;
    let wave = |from: usize| {
        let all = from..from + 3_000;
        all.map(|n| (format!("user-{}", n % 97), bought(&format!("e-{n}"), "tea")))
    };
    send_all(&producer, "two-events", wave(0)).await;
    eventually("that the second one has the log", async || {
        list(&to_second, "user-1").await.ok().filter(|listed| !listed.stale)
    })
    .await;
    assert_eq!(figure(&second, "qianmian_topic_behind_messages"), None, "it follows");

    let sending = send_all(&producer, "two-events", wave(3_000));
    let killing = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        first.kill();
    };
    tokio::join!(sending, killing);
    // It refuses connections until its stores are open as those of the one that writes.
    until("that the second one writes", || said(&second, "serving") == 2).await;
    until("that all is taken in", || {
        figure(&second, "qianmian_topic_behind_messages") == Some(0.0)
    })
    .await;
    assert!(second.terminate());
    let found = events(&shop.data("second"));
    assert_eq!(found.len(), 6_000);
    assert!(found.values().all(|&times| times == 1));
}

/// What a topic keeps of an erased user is gone once its retention is over.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_is_not_in_the_broker_once_the_retention_is_over() {
    let Some(broker) = Broker::start().await else { return };
    let settings = [("retention.ms", "3000"), ("segment.ms", "1000")];
    broker.create("rest-events", 1, &settings).await;
    let producer = broker.producer();
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start_with(folder.path(), |command| {
        command.env("QIANMIAN_KAFKA__BROKERS", &broker.address);
        command.env("QIANMIAN_KAFKA__EVENTS", "rest-events");
    });
    send(&producer, "rest-events", None, "ada", Some(&bought("e1", "tea"))).await;
    send(&producer, "rest-events", None, "ada", None).await;
    taken_in(&server, 2.0).await;
    assert!(!broker.messages("rest-events").await.is_empty());
    eventually("that the broker has nothing of the user", async || {
        let left = broker.messages("rest-events").await;
        left.iter().all(|message| message.key() != Some(b"ada")).then_some(())
    })
    .await;

    // What was deleted was taken in before: nothing is lost, and reading goes on.
    send(&producer, "rest-events", None, "bob", Some(&bought("e2", "tea"))).await;
    taken_in(&server, 3.0).await;
    assert!(!has_said(&server, "messages were deleted before they were taken in"));

    // One that was made anew is shorter than what was taken in, and is read all the same.
    broker.delete("rest-events").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    broker.create("rest-events", 1, &[]).await;
    send(&broker.producer(), "rest-events", None, "eve", Some(&bought("e3", "tea"))).await;
    taken_in(&server, 4.0).await;
    send(&broker.producer(), "rest-events", None, "eve", Some(&bought("e4", "tea"))).await;
    taken_in(&server, 5.0).await;
    assert!(server.terminate());
    assert_eq!(events(folder.path()).len(), 3, "those of the erased user are gone");
}
