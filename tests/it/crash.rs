//! `kill -9` at random moments: every acknowledged event is there once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;

use crate::support::Process;

const BATCH: u32 = 7;

fn batch(number: u32) -> pb::WriteEventsRequest {
    let event = |i: u32| pb::Event {
        event_id: format!("{number}-{i}"),
        kind: pb::EventKind::Purchase.into(),
        user_id: format!("user-{}", number % 50),
        item_id: format!("item-{i}"),
        ..Default::default()
    };
    pb::WriteEventsRequest { events: (0..BATCH).map(event).collect() }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_events_survive_and_no_batch_is_half_there() {
    survive(20, 1_000_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_events_survive_a_kill_beside_a_checkpoint() {
    survive(20, 30).await;
}

/// `cargo test --test it -- --ignored`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn acknowledged_events_survive_hundreds_of_kills() {
    survive(300, 1_000_000).await;
    survive(300, 30).await;
}

/// Kills a server again and again that writes a checkpoint each `records`, or more rarely.
async fn survive(rounds: u64, records: u64) {
    let start = |folder: &Path| {
        Process::start_with(folder, |command| {
            command.env("QIANMIAN_LOG__CHECKPOINT_RECORDS", records.to_string());
        })
    };
    let folder = tempfile::tempdir().unwrap();
    // Batches 0..acknowledged were acknowledged; batch `acknowledged` may be there or not.
    let acknowledged = Arc::new(AtomicU32::new(0));
    let mut server = start(folder.path());
    for round in 0..rounds {
        let mut client = EventServiceClient::new(server.channel().await);
        let counter = acknowledged.clone();
        let writer = tokio::spawn(async move {
            for _ in 0..10_000 {
                let number = counter.load(Ordering::Relaxed);
                match client.write_events(batch(number)).await {
                    Ok(_) => counter.store(number + 1, Ordering::Relaxed),
                    Err(_) => return,
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(10 + 37 * round % 60)).await;
        server.kill();
        writer.await.unwrap();

        server = start(folder.path());
        let mut client = EventServiceClient::new(server.channel().await);
        let count = acknowledged.load(Ordering::Relaxed);
        for number in count.saturating_sub(200)..count {
            let again = client.write_events(batch(number)).await.unwrap().into_inner();
            assert_eq!((again.duplicates, again.recorded), (BATCH as i32, 0), "batch {number}");
        }
        let open = client.write_events(batch(count)).await.unwrap().into_inner();
        assert!([0, BATCH as i32].contains(&open.duplicates), "half a batch: {open:?}");
        acknowledged.store(count + 1, Ordering::Relaxed);
        assert_eq!(open.offset, u64::from((count + 1) * BATCH), "every batch is there once");
    }
    assert!(acknowledged.load(Ordering::Relaxed) > rounds as u32, "the writer made progress");
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_end_it_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let mut client = EventServiceClient::new(server.channel().await);
    client.write_events(batch(0)).await.unwrap();
    drop(client);
    assert!(server.terminate(), "with success");
    let server = Process::start(folder.path());
    let mut client = EventServiceClient::new(server.channel().await);
    let receipt = client.write_events(batch(0)).await.unwrap().into_inner();
    assert_eq!((receipt.recorded, receipt.duplicates), (0, BATCH as i32));
}
