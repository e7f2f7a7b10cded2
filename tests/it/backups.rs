//! Backups: made beside a running server, incremental, restored list for list, and never trusted.

use std::path::Path;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use tonic::transport::Channel;

use crate::support::{self, Process, run};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the program, which must succeed; its output.
#[track_caller]
fn done(arguments: &[&str]) -> String {
    let (ok, output, error) = run(arguments);
    assert!(ok, "{arguments:?}: {error}");
    output
}

/// Runs the program, which must fail; its error.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let (ok, _, error) = run(arguments);
    assert!(!ok, "{arguments:?} succeeded");
    error
}

/// A backup in JSON.
fn backed_up(data: &Path, to: &Path) -> serde_json::Value {
    let output = done(&["backup", "--to", text(to), "--data", text(data), "--json"]);
    serde_json::from_str(&output).unwrap()
}

fn trained_store(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let log = support::online_retail(folder, 20_000);
    let data = folder.path().join("data");
    done(&["import", text(&log), "--preset", "online-retail", "--data", text(&data)]);
    done(&["train", "--data", text(&data)]);
    data
}

/// The lists of some users, and what is known of an event that came last.
async fn lists(channel: Channel) -> Vec<Vec<String>> {
    let mut service = RecommendationServiceClient::new(channel);
    let mut all = Vec::new();
    for user in ["17850", "13047", "12583", "14688", "someone new", "late"] {
        let request =
            pb::RecommendRequest { user_id: user.into(), limit: 20, ..Default::default() };
        let answer = service.recommend(request).await.unwrap().into_inner();
        all.push(answer.items.into_iter().map(|item| item.item_id).collect());
    }
    all
}

async fn write(channel: Channel, from: usize, count: usize) {
    write_of(channel, ["17850", "13047", "12583"], from, count).await;
}

async fn write_of(channel: Channel, users: [&str; 3], from: usize, count: usize) {
    let event = |n: usize| pb::Event {
        event_id: format!("event-{n}"),
        kind: pb::EventKind::Purchase.into(),
        user_id: users[n % 3].into(),
        item_id: ["22423", "85123A", "22720", "21212"][n % 4].into(),
        ..Default::default()
    };
    let events = (from..from + count).map(event).collect();
    let request = pb::WriteEventsRequest { events };
    EventServiceClient::new(channel).write_events(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_answers_as_the_original_did() {
    let folder = tempfile::tempdir().unwrap();
    let data = trained_store(&folder);
    let process = Process::start_with(&data, |command| {
        command.env("QIANMIAN_LOG__SEGMENT_MIB", "1");
    });
    write(process.channel().await, 0, 50).await;
    let original = lists(process.channel().await).await;
    let (backup, archive) = (folder.path().join("backup"), folder.path().join("shop.tar.zst"));
    let made = backed_up(&data, &backup);
    done(&["backup", "--to", text(&archive), "--data", text(&data)]);

    // What comes later is in neither.
    write_of(process.channel().await, ["late"; 3], 50, 20).await;
    assert_ne!(lists(process.channel().await).await, original);
    process.kill();

    assert!(done(&["verify", text(&backup)]).starts_with("whole: 1 backups"));
    assert!(done(&["verify", text(&archive)]).starts_with("whole: 1 backups"));
    for (name, from) in [("one", &backup), ("two", &archive)] {
        let restored = folder.path().join(name);
        let output = done(&["restore", text(from), "--data", text(&restored)]);
        assert!(output.contains("users who were erased since then are back"), "{output}");
        assert!(done(&["verify", "--data", text(&restored)]).starts_with("whole: the data folder"));
        let process = Process::start(&restored);
        let offset =
            format!("qianmian_log_offset{{store=\"default\"}} {}", made["stores"][0]["offset"]);
        // Before any list, which is recorded as shown.
        assert!(process.get("/metrics").2.contains(&offset), "{offset}");
        assert_eq!(lists(process.channel().await).await, original, "{name}");
        // It writes on.
        write(process.channel().await, 50, 10).await;
        assert!(process.terminate());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_writes_is_whole_and_adds_only_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let data = trained_store(&folder);
    let process = Process::start(&data);
    let channel = process.channel().await;
    let writing = tokio::spawn(async move {
        for round in 0.. {
            write(channel.clone(), round * 20, 20).await;
            if round == 2_000 {
                break;
            }
        }
    });

    let backup = folder.path().join("backup");
    let first = backed_up(&data, &backup);
    let mut last = first.clone();
    for _ in 0..3 {
        last = backed_up(&data, &backup);
    }
    writing.abort();
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    assert!(number(&last["stores"][0]["offset"]) > number(&first["stores"][0]["offset"]));
    assert_eq!(first["copied_bytes"], first["total_bytes"]);
    // The model is there already.
    assert!(2 * number(&last["copied_bytes"]) < number(&last["total_bytes"]), "{last}");

    assert!(done(&["verify", text(&backup)]).starts_with("whole: 4 backups"));
    for made in [&first, &last] {
        let restored = folder.path().join(made["name"].as_str().unwrap());
        let at = ["--at", made["name"].as_str().unwrap()];
        done(&[&["restore", text(&backup), "--data", text(&restored)][..], &at].concat());
        let stats = done(&["log", "stats", "--json", "--data", text(&restored)]);
        let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
        assert_eq!(stats["records"], made["stores"][0]["offset"]);
    }

    // The oldest go, with what only they needed.
    done(&["backup", "--to", text(&backup), "--keep", "2", "--data", text(&data)]);
    assert!(done(&["verify", text(&backup)]).starts_with("whole: 2 backups"));
    let gone = refused(&[
        "restore",
        text(&backup),
        "--at",
        first["name"].as_str().unwrap(),
        "--data",
        text(&folder.path().join("x")),
    ]);
    assert!(gone.contains("it holds no backup"), "{gone}");
}

#[test]
fn what_is_no_whole_backup_is_refused_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let data = trained_store(&folder);
    let (backup, archive) = (folder.path().join("backup"), folder.path().join("shop.tar.zst"));
    backed_up(&data, &backup);
    done(&["backup", "--to", text(&archive), "--data", text(&data)]);
    let restored = folder.path().join("restored");

    let error = refused(&["restore", text(&backup), "--data", text(&data)]);
    assert!(error.contains("the data folder is not empty"), "{error}");
    let error = refused(&["restore", text(folder.path()), "--data", text(&restored)]);
    assert!(error.contains("it is no backup"), "{error}");
    let error = refused(&["backup", "--to", text(&data), "--data", text(&data)]);
    assert!(error.contains("it lies within the data folder"), "{error}");
    let full = folder.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("file"), "mine").unwrap();
    let error = refused(&["backup", "--to", text(&full), "--data", text(&data)]);
    assert!(error.contains("is not empty and holds no backups"), "{error}");
    let error = refused(&["backup", "--to", text(&archive), "--data", text(&data)]);
    assert!(error.contains("there is such a file already"), "{error}");
    let error =
        refused(&["backup", "--to", text(&restored), "--data", text(&folder.path().join("no"))]);
    assert!(error.contains("it is no data folder"), "{error}");

    // A flipped bit anywhere in either.
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let length = std::fs::metadata(&archive).unwrap().len() as usize;
    for at in [10, length / 2, length - 20] {
        flip(&archive, at);
        let error = refused(&["restore", text(&archive), "--data", text(&restored)]);
        assert!(error.contains("is damaged"), "{at}: {error}");
        assert!(!restored.exists(), "nothing is left");
        flip(&archive, at);
    }
    std::fs::write(&archive, &std::fs::read(&archive).unwrap()[..length - 200]).unwrap();
    assert!(refused(&["verify", text(&archive)]).contains("is damaged"));

    let mut objects: Vec<_> = walk(&backup.join("objects"));
    objects.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    let largest = objects.last().unwrap();
    flip(largest, 5_000);
    let error = refused(&["restore", text(&backup), "--data", text(&restored)]);
    assert!(error.contains("is damaged") && error.contains("is not what was written"), "{error}");
    assert!(refused(&["verify", text(&backup)]).contains("is missing"), "it is set aside");
    assert!(!restored.exists());
    // The next backup copies it anew.
    backed_up(&data, &backup);
    assert!(done(&["verify", text(&backup)]).starts_with("whole: 2 backups"));
    // A folder that is there already, as a disk of its own is.
    std::fs::create_dir_all(restored.join("lost+found")).unwrap();
    done(&["restore", text(&backup), "--data", text(&restored)]);
    done(&["verify", "--data", text(&restored)]);

    // A damaged model is left out.
    let arrays = data.join("stores/default/snapshots/0000000001/model.safetensors");
    flip(&arrays, 9_000);
    let made = backed_up(&data, &folder.path().join("without"));
    assert_eq!(made["stores"][0]["models"], 0);
    assert!(refused(&["verify", "--data", text(&data)]).contains("its bytes do not match"));

    // A log that is damaged is not backed up as if it were whole.
    let segment = walk(&data.join("stores/default/log"))
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "log"));
    flip(&segment.unwrap(), 3_000);
    let error =
        refused(&["backup", "--to", text(&folder.path().join("other")), "--data", text(&data)]);
    assert!(error.contains("the log is damaged"), "{error}");
    assert!(refused(&["verify", "--data", text(&data)]).contains("the log is damaged"));
}

/// The files below a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_leaves_the_backups_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let data = trained_store(&folder);
    let backup = folder.path().join("backup");
    done(&["backup", "--to", text(&backup), "--keep", "1", "--data", text(&data)]);
    let holds = |name: &str| {
        let restored = folder.path().join(name);
        done(&["restore", text(&backup), "--data", text(&restored)]);
        run(&["history", "17850", "--data", text(&restored)]).0
    };
    assert!(holds("before"));
    done(&["users", "delete", "17850", "--data", text(&data)]);
    // The training rewrites the log's files.
    done(&["train", "--data", text(&data)]);
    done(&["backup", "--to", text(&backup), "--keep", "1", "--data", text(&data)]);
    assert!(!holds("after"));
}
