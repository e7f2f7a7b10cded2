//! Checkpoints: a start goes on from one, and none of them outlives what it must not.

use std::fs;
use std::path::{Path, PathBuf};

use qianmian::domain::{DAY_MS, Event, EventKind, Item, ItemChange, now_ms};
use qianmian::engine::{Engine, EngineOptions, RecommendRequest, Write};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::followers::{caught_up, following, primary, until};
use crate::sharing::{buy, channel, has_said};
use crate::support::{Process, Server, purchases, quiet};

/// Options with a checkpoint at each end of the store.
fn options() -> EngineOptions {
    let mut options = quiet();
    options.log.checkpoint_records = 1;
    options
}

fn checkpoint(folder: &TempDir) -> PathBuf {
    folder.path().join("stores/default/checkpoint")
}

fn write(engine: &Engine, write: Write) {
    engine.writer().submit_blocking(write).unwrap().wait().unwrap();
}

/// What a user gets, with the reasons.
fn list(engine: &Engine, user: &str) -> String {
    let request =
        RecommendRequest { user_id: user.into(), limit: 5, explain: true, ..Default::default() };
    let answer = engine.recommender().recommend(&request).unwrap();
    format!("{:?} {:?}", answer.entries, answer.basis)
}

fn shop() -> Vec<Event> {
    let rows: Vec<(String, String)> =
        (0..12).flat_map(|u| (u..u + 4).map(move |i| (format!("u{u}"), format!("i{i}")))).collect();
    let rows: Vec<_> = rows.iter().map(|(u, i)| (u.as_str(), i.as_str(), 1)).collect();
    purchases(&rows)
}

#[test]
fn a_start_goes_on_from_a_checkpoint_as_if_it_had_read_all() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), options()).unwrap();
    write(&engine, Write::Events(shop()));
    engine.trainer().train_blocking(false).unwrap();
    let item = Item { title: "Green tea".into(), price: Some(2.5), ..Item::default() };
    write(&engine, Write::Items(vec![("i3".into(), ItemChange::whole(item))]));
    write(&engine, Write::Link("u1".into(), vec!["u2".into(), "phone".into()]));
    let seen = |kind, item| Event { event_id: "once".into(), ..Event::new(kind, "u4", item, 9) };
    write(&engine, Write::Events(vec![seen(EventKind::View, "i9")]));
    let before = ["u1", "phone", "u4", "u7", "new"].map(|user| list(&engine, user));
    drop(engine);
    assert!(checkpoint(&folder).exists());

    // From the checkpoint, from all of the log, and from a checkpoint that is damaged.
    for state in ["there", "gone", "damaged"] {
        match state {
            "gone" => fs::remove_file(checkpoint(&folder)).unwrap(),
            "damaged" => {
                let mut bytes = fs::read(checkpoint(&folder)).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(checkpoint(&folder), bytes).unwrap();
            }
            _ => {}
        }
        let engine = Engine::open(folder.path(), options()).unwrap();
        let after = ["u1", "phone", "u4", "u7", "new"].map(|user| list(&engine, user));
        assert_eq!(after, before, "the checkpoint is {state}");
        let again = Write::Events(vec![seen(EventKind::View, "i9")]);
        let receipt = engine.writer().submit_blocking(again).unwrap().wait().unwrap();
        assert_eq!((receipt.recorded, receipt.duplicates), (0, 1), "the checkpoint is {state}");
        // So that the next end of the store writes another.
        write(&engine, Write::Contacted(vec!["u9".into()], 1));
    }
}

#[test]
fn no_checkpoint_has_an_erased_user_once_the_log_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), options()).unwrap();
    let events: Vec<Event> = shop();
    write(&engine, Write::Events(events));
    write(&engine, Write::Events(vec![Event::new(EventKind::View, "Musterfrau", "i1", 1)]));
    engine.trainer().train_blocking(false).unwrap();
    drop(engine);
    let holds = || fs::read(checkpoint(&folder)).is_ok_and(|bytes| contains(&bytes, b"Musterfrau"));
    assert!(holds());

    let engine = Engine::open(folder.path(), options()).unwrap();
    write(&engine, Write::Erase(vec!["Musterfrau".into()], 2));
    engine.trainer().train_blocking(false).unwrap();
    assert!(!holds());
    drop(engine);
    assert!(checkpoint(&folder).exists() && !holds());
    let engine = Engine::open(folder.path(), options()).unwrap();
    assert!(list(&engine, "u3").contains('i'));
}

#[test]
fn no_checkpoint_keeps_what_a_clock_that_was_behind_has_made_of_times() {
    let folder = tempfile::tempdir().unwrap();
    let at = |ahead_ms| vec![Event::new(EventKind::View, "ada", "tea", now_ms() + ahead_ms)];
    let engine = Engine::open(folder.path(), options()).unwrap();
    write(&engine, Write::Events(at(3 * DAY_MS)));
    drop(engine);
    assert!(!checkpoint(&folder).exists());

    // A customer's clock may be wrong by hours.
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), options()).unwrap();
    write(&engine, Write::Events(at(DAY_MS / 24)));
    drop(engine);
    assert!(checkpoint(&folder).exists());
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn serve(folder: &Path, history_limit: &str) -> Process {
    Process::start_with(folder, |command| {
        command
            .env("QIANMIAN_LOG__CHECKPOINT_RECORDS", "100")
            .env("QIANMIAN_LOG__SEGMENT_MIB", "1")
            .env("QIANMIAN_RECOMMEND__HISTORY_LIMIT", history_limit);
    })
}

/// What a server has logged of the store that it has opened.
fn opened(process: &Process) -> serde_json::Value {
    let lines = process.log();
    let open = lines.iter().find(|line| line["fields"]["message"] == "store open").unwrap();
    open["fields"].clone()
}

/// How many records it has replayed then.
fn replayed(process: &Process) -> u64 {
    opened(process)["replayed"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_replays_what_came_after_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), "50");
    let to_server = channel(&server).await;
    for number in 0..60 {
        buy_once(&to_server, number).await;
    }
    assert_eq!(replayed(&server), 0);
    for number in 60..130 {
        buy_once(&to_server, number).await;
    }
    until("a checkpoint", || has_said(&server, "a checkpoint is written")).await;
    buy_once(&to_server, 130).await;
    server.kill();

    let server = serve(folder.path(), "50");
    let after = replayed(&server);
    assert!((1..=40).contains(&after), "{after} records");
    assert_eq!(opened(&server)["events"], 131);
    until("that the rest of the log is checked", || {
        has_said(&server, "the log's files before the checkpoint are whole")
    })
    .await;
    assert!(server.terminate());

    // What folds the log otherwise reads all of it.
    let server = serve(folder.path(), "60");
    assert_eq!(replayed(&server), 131);
    assert!(server.terminate());

    // Damage that the start does not read is found beside it.
    let log = folder.path().join("stores/default/log");
    let server = serve(folder.path(), "60");
    assert!(replayed(&server) < 131);
    server.kill();
    let first = log.join("00000000000000000000.log");
    let mut bytes = fs::read(&first).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&first, bytes).unwrap();
    let server = serve(folder.path(), "60");
    until("that damage is found", || has_said(&server, "the log is damaged before the checkpoint"))
        .await;
    let (_, _, metrics) = server.get("/metrics");
    let is_it = |line: &str| line.starts_with("qianmian_log_damaged") && line.ends_with(" 1.0");
    assert!(metrics.lines().any(is_it));
}

async fn buy_once(channel: &Channel, number: u32) {
    let (user, item) = (format!("u{}", number % 9), format!("i{}", number % 7));
    buy(channel, &format!("e{number}"), &user, &item).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_becomes_the_original_knows_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let original = primary(&folder.path().join("original")).await;
    let events = || vec![Event { event_id: "once".into(), ..shop().remove(0) }];
    original.engine.writer().record(events()).await.unwrap();
    let data = folder.path().join("copy");
    let copy = Server::following(&data, options(), &following(&original.address)).await;
    caught_up(&copy.engine, &original.engine).await;
    copy.stop().await;
    assert!(data.join("stores/default/checkpoint").exists());
    original.stop().await;

    let engine = Engine::open(&data, options()).unwrap();
    let receipt = engine.writer().record(events()).await.unwrap();
    assert_eq!((receipt.recorded, receipt.duplicates), (0, 1));
}
