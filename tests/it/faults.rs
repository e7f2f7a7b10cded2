//! Disks that refuse: what was acknowledged stays, what was not is said, and with room again
//! writing continues.

use std::path::Path;
use std::process::{Command, Stdio};

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use qianmian::engine::Engine;
use tonic::Code;

use crate::support::{self, Process};

fn batch(number: usize) -> pb::WriteEventsRequest {
    let event = |i: usize| pb::Event {
        event_id: format!("{number}-{i}"),
        kind: pb::EventKind::Purchase.into(),
        user_id: format!("user-{}", number % 50),
        item_id: format!("item-{i}"),
        // Text that does not compress, so that the disk is soon full.
        basket_id: format!(
            "{:x}{:x}",
            number * 0x9E37_79B9_7F4A + i,
            i * 0xBF58_476D_1CE4 + number
        ),
        ..Default::default()
    };
    pb::WriteEventsRequest { events: (0..50).map(event).collect() }
}

fn stored(data: &Path) -> u64 {
    Engine::open(data, support::quiet()).unwrap().live().events()
}

/// A limit on the size of files is what a full disk is to a writer: part of a write is
/// taken, the rest refused.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start_with(folder.path(), |command| {
        // In blocks of 512 or 1,024 bytes, as the shell has it.
        let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", limited]).arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        *command = shell;
    });
    let mut events = EventServiceClient::new(server.channel().await);
    let mut acknowledged = 0;
    let refused = loop {
        assert!(acknowledged < 1_000, "the disk is never full");
        match events.write_events(batch(acknowledged)).await {
            Ok(_) => acknowledged += 1,
            Err(status) => break status,
        }
    };
    assert!(acknowledged > 3, "{acknowledged}");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("write to"), "{refused:?}");
    // It continues answering, and refusing in the same words.
    let again = events.write_events(batch(acknowledged)).await.unwrap_err();
    assert_eq!(again.message(), refused.message());
    let mut lists = RecommendationServiceClient::new(server.channel().await);
    let ask = pb::PopularRequest { limit: 5, ..Default::default() };
    assert_eq!(lists.popular(ask).await.unwrap().into_inner().items.len(), 5);
    server.kill();
    assert_eq!(stored(folder.path()), 50 * acknowledged as u64);
    let server = Process::start(folder.path());
    let mut events = EventServiceClient::new(server.channel().await);
    assert_eq!(events.write_events(batch(acknowledged)).await.unwrap().into_inner().recorded, 50);
    server.kill();
    assert_eq!(stored(folder.path()), 50 * (acknowledged as u64 + 1));
}

/// A training that finds no room for its model leaves the one before, on disk and serving.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_room_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let engine = std::sync::Arc::new(Engine::open(folder.path(), support::quiet()).unwrap());
    engine
        .writer()
        .record(support::purchases(&[("a", "x", 1), ("b", "x", 1), ("b", "y", 1)]))
        .await
        .unwrap();
    assert_eq!(support::trained(&engine).await, 1);
    // A file where the next model would be written stands for a folder that refuses.
    let snapshots = folder.path().join("stores/default/snapshots");
    let aside = snapshots.with_extension("aside");
    std::fs::rename(&snapshots, &aside).unwrap();
    std::fs::write(&snapshots, "").unwrap();
    let training = engine.clone();
    let train = move || training.trainer().train_blocking(true);
    let error = tokio::task::spawn_blocking(train).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("snapshots"), "{error}");
    assert_eq!(engine.generation(), 1);
    std::fs::remove_file(&snapshots).unwrap();
    std::fs::rename(&aside, &snapshots).unwrap();
    assert_eq!(support::trained(&engine).await, 2);
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_cannot_be_written_is_named() {
    // Nobody may make folders here, not even the superuser.
    let output = Command::new(env!("CARGO_BIN_EXE_qianmian"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "", "--data", "/sys/qianmian"])
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("create /sys/qianmian/stores/default/log: "), "{said}");
}
